/**
 * Every way in which debgeo refuses or fails, as one closed table.
 *
 * Absent, invalid and unreachable are three different answers and have different codes. A code says
 * what happens next: `backoff`: the lane or the capture loop tries again by itself, ever slower,
 * for ever; `person`: nothing will change until somebody acts: parked, and `debgeo retry` starts it
 * again; `at-once`: not a failure of the replication; the next step is taken without waiting.
 * Import-safe for workflows: no builtin, no I/O.
 */
interface Rule {
  readonly then: 'backoff' | 'person' | 'at-once';
  /**
   * Exit code of a command that ends with this: 1 failed, 2 usage, 3 refused, 4 unreachable, 5
   * cancelled.
   */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  /** When this happens. */
  readonly cause: string;
  /** What a tired operator should type or look at. */
  readonly remedy: string;
}

const refused = (cause: string, remedy: string): Rule => ({
  then: 'backoff',
  exit: 3,
  cause,
  remedy,
});
const unreachable = (cause: string, remedy: string): Rule => ({
  then: 'backoff',
  exit: 4,
  cause,
  remedy,
});
const transient = (cause: string, remedy: string): Rule => ({
  then: 'backoff',
  exit: 1,
  cause,
  remedy,
});
const parked = (cause: string, remedy: string): Rule => ({
  then: 'person',
  exit: 1,
  cause,
  remedy,
});
const usage = (cause: string, remedy: string): Rule => ({ then: 'person', exit: 2, cause, remedy });

export const RULES = {
  // The archive could not be asked.
  ARCHIVE_UNREACHABLE: unreachable(
    'no connection, a broken or stalled one, or an answer of the archive that is an error (5xx and the like); or its folder is not there',
    'check that the archive answers; debgeo looks again by itself',
  ),
  ARCHIVE_SLOW: transient(
    'the archive sends, and fewer bytes a second than any line does (a byte a second, say)',
    'ask the archive, or look for what holds its answers back; debgeo looks again by itself',
  ),
  ARCHIVE_THROTTLED: unreachable(
    'the archive answered 429 or 503; its Retry-After is kept',
    'the archive asked us to slow down; debgeo looks again by itself',
  ),
  ARCHIVE_DENIED: unreachable(
    'the archive answered 401, 402, 403, 407 or 451, or the worker may not read its folder',
    'check that the archive may be read without credentials from this worker',
  ),
  ARCHIVE_REDIRECT: refused(
    'a redirect to an origin that the archive does not allow (`redirect_origins`), to nowhere, or too many in a row',
    'set the URL that the archive redirects to as its url, if that host is meant',
  ),
  ARCHIVE_CHANGING: transient(
    'the archive, or a file of its folder, changed again and again while it was read',
    'the archive was releasing while we read it; debgeo looks again by itself',
  ),

  // What the archive released is not accepted. Sites keep serving what they serve.
  RELEASE_MISSING: refused(
    'the archive has neither InRelease nor Release in the folder of the suite',
    'check url and suite: there is neither InRelease nor Release',
  ),
  RELEASE_UNSIGNED: refused(
    'a keyring is pinned, and there is neither InRelease nor Release.gpg',
    'ask the archive for a signed Release',
  ),
  RELEASE_MALFORMED: refused(
    'the Release is not one stanza of control data with the fields that Debian defines',
    'look at the InRelease of the archive: it is not a Release file as Debian defines it',
  ),
  SIGNATURE_MALFORMED: refused(
    'InRelease or Release.gpg is not a signature in the form that apt accepts',
    'look at the InRelease of the archive: an error page or a truncated file, perhaps',
  ),
  SIGNATURE_INVALID: refused(
    'a signature of a pinned key does not match the bytes, or uses an algorithm that is not accepted',
    'do not override: the bytes are not what the key holder signed; ask the archive',
  ),
  SIGNATURE_UNKNOWN_KEY: refused(
    'there are signatures, but none of a pinned key',
    'if the archive announced a new key, add it to the keyring of the archive and apply',
  ),
  SIGNATURE_KEY_EXPIRED: refused(
    'the signature is right, but the pinned key has expired',
    'get the extended key from the archive, put it into the keyring of the archive and apply',
  ),
  SIGNATURE_KEY_REVOKED: refused(
    'the signature is right, but the pinned key was revoked',
    'the archive withdrew its key: get the new one from a source that you trust',
  ),
  RELEASE_EXPIRED: refused(
    'Valid-Until of the Release is over',
    'the archive must release again; clients stop accepting this release now, too',
  ),
  RELEASE_FUTURE: refused(
    'Date of the Release lies in the future, further than clocks may differ',
    'compare the clocks of the archive and of this worker; debgeo looks again by itself',
  ),
  RELEASE_UNDATED: refused(
    'the Release has no Date, and the distribution does not say `accept_undated: true`',
    'ask the archive for a Date field: without it a rollback cannot be seen',
  ),
  RELEASE_ROLLBACK: refused(
    'Date of the Release is older than that of a release accepted before',
    'find out why the archive went back; if it was meant, `debgeo update DIST --accept-older REASON` takes it',
  ),
  RELEASE_STALE: {
    then: 'at-once',
    exit: 1,
    cause:
      'the newest release is older than `stale_after` of the distribution: the archive rests, or somebody holds its releases back',
    remedy:
      'ask the archive by another way whether it released; if it rests, set a longer `stale_after` and apply; it ends with a newer release',
  },
  SELECTION_UNKNOWN: refused(
    'a component or architecture of the distribution is not named by the Release',
    'choose components and architectures that the Release names',
  ),
  HOSTILE_PATH: refused(
    'a path of the Release or of an index is absolute, has `..` or forbidden characters, or lies where it may not; or it is a link out of the folder of the archive, or no regular file there',
    'tell the archive: a path like this could leave the site that it is copied to',
  ),
  PATH_UNREADABLE: refused(
    'an index names a file with `./` in its path: apt asks for it as written, and blob storage cannot have that name',
    'ask the archive to list its files without ./ (`dpkg-scanpackages sub` does, `dpkg-scanpackages .` does not)',
  ),
  PATH_AMBIGUOUS: refused(
    'two paths with different files differ in upper and lower case or in Unicode normalisation only',
    'ask the archive to rename one of them: a file system or server that does not tell them apart serves one in place of the other',
  ),
  INDEX_MISSING: refused(
    'Release lists an index, and the archive has no variant of it that can be read',
    'the archive lists an index that no variant of exists; ask the archive',
  ),
  INDEX_MISMATCH: transient(
    'the size or digest of an index is not what Release says',
    'an index differs from what Release says, in the middle of a release perhaps',
  ),
  INDEX_MALFORMED: refused(
    'an index cannot be decompressed or is not control data as Debian defines it',
    'an index is not what Debian defines; ask the archive',
  ),
  INDEX_CONTRADICTION: refused(
    'one path is listed twice with different size or digest, or two variants of an index hold different bytes',
    'one path is listed with two digests; ask the archive',
  ),
  LIMIT_EXCEEDED: refused(
    'a file, line, number of entries or decompressed size is beyond its limit',
    'the archive is larger than debgeo accepts in this place; see domain/limits.ts',
  ),
  SNAPSHOT_EMPTY: refused(
    'the indices of the selection name no file at all; 0 of 0 is not verified',
    'the selection names no package at all; choose other components or architectures',
  ),

  // One blob cannot be had right.
  BLOB_MISSING: transient(
    'no origin (primary site, archive, other sites) has a file that an index names',
    'the archive names a file in its index that it does not have; ask the archive',
  ),
  BLOB_MISMATCH: transient(
    'every origin that has the file serves bytes that differ from what its index says',
    'the bytes that the archive serves differ from its own index; ask the archive',
  ),
  SUPERSEDED: {
    then: 'at-once',
    exit: 1,
    cause: 'a blob of an older generation cannot be had, and a newer generation waits',
    remedy: 'nothing: a newer generation replaces this one',
  },

  // A site.
  SITE_UNREACHABLE: unreachable(
    "no connection to the site, a broken one, or an answer that is no blob store's or an error of its own (5xx)",
    'check the network to the site; debgeo tries again by itself',
  ),
  SITE_THROTTLED: unreachable(
    'the site answered 429 or 503; its Retry-After is kept',
    'the site asked us to slow down; debgeo tries again by itself',
  ),
  SITE_STALLED: unreachable(
    'too few bytes moved to or from the site for too long',
    'the site accepts requests and does not answer; debgeo tries again by itself',
  ),
  SITE_CREDENTIAL_MISSING: parked(
    'the variable or file that the credential names is not there or empty, where the worker runs',
    'set the variable or file that the credential of the site names, then `debgeo retry`',
  ),
  SITE_IDENTITY_MISSING: unreachable(
    "the site has `credential: default`, and where the worker runs Azure's default identity gives no token, or none in time",
    'give the worker a managed or workload identity, or the variables of a service principal; debgeo tries again by itself',
  ),
  SITE_DENIED: parked(
    'the site refuses the credential, or the credential lacks a right',
    'give the credential of the site the right to read, write and delete blobs, then `debgeo retry`',
  ),
  SITE_CONTAINER_MISSING: parked(
    'the container of the site does not exist',
    'create the container of the site, then `debgeo retry`',
  ),
  SITE_NOT_PUBLIC: parked(
    'what was published cannot be read anonymously at public_url',
    'allow anonymous read of blobs at public_url of the site, then `debgeo retry`',
  ),
  SITE_REFUSED: parked(
    'the site answered with a refusal that trying again does not change',
    'the site refuses this request for good; see its answer, then `debgeo retry`',
  ),
  SITE_SERVES_OTHER: transient(
    'the bytes at public_url are not those that were published',
    'the public URL does not serve what was written; a cache in between, perhaps',
  ),
  BLOB_CORRUPT: {
    then: 'at-once',
    exit: 1,
    cause: 'the bytes read back from a site differ from what the catalog says',
    remedy: 'nothing: repaired from another source',
  },
  FOREIGN_WRITE: parked(
    'a blob of ours was changed at the site by somebody else, or keeps changing',
    'somebody else writes to this site: give debgeo a prefix of its own, then `debgeo retry`',
  ),
  PATH_CONFLICT: parked(
    'a snapshot needs other bytes at a pool path than an earlier one put there',
    'give the archives different mounts; or, once nothing needs the old file and prune has deleted it (`debgeo prune --dry-run`), `debgeo retry`',
  ),

  // The lane itself.
  NOT_VERIFIED: transient(
    'a step that needs every blob verified, or the snapshot published, found that it is not so',
    'some blobs are not verified yet; debgeo tries again by itself',
  ),
  GENERATION_BACKWARDS: parked(
    'the site serves a newer generation than the one to be published',
    'a site never goes back by itself',
  ),
  FENCED: {
    then: 'backoff',
    exit: 1,
    cause: 'an attempt that was given up, or whose replication was removed, tried to go on',
    remedy: 'nothing: a newer attempt has taken over',
  },
  STALLED: transient(
    'an activity or request did not end in its time, or was given up',
    'a worker was lost or hung; debgeo tries again by itself',
  ),
  CANCELLED: {
    then: 'person',
    exit: 5,
    cause: 'somebody cancelled the replication',
    remedy: '`debgeo retry` goes on where it stopped',
  },
  PAUSED: {
    then: 'person',
    exit: 5,
    cause: 'somebody paused the replication',
    remedy: '`debgeo resume` goes on where it stopped',
  },
  UNKNOWN: transient(
    'an error that no rule here describes',
    'an error that debgeo does not know; see the log of the worker',
  ),

  PRUNE_REFUSED: refused(
    'nothing of an archive would be kept, or the catalog lacks files of a snapshot that a site serves: a database that was restored or cut, perhaps',
    'nothing is deleted until the catalog is whole: find out what happened to the database, restore it or let the sites serve a new release',
  ),

  // Commands.
  CONFIG_INVALID: usage(
    'a configuration file, environment variable or setting of a server is not as it must be',
    'correct the file or the setting',
  ),
  NAME_UNKNOWN: usage(
    'a distribution or site of this name, or the pair of them, does not exist',
    '`debgeo status` lists the names',
  ),
  NO_WORKER: {
    then: 'person',
    exit: 4,
    cause: 'no worker polls the queue, or none answered in time',
    remedy: 'start one with `debgeo worker`; what was asked for waits for it',
  },
  DATABASE_UNREACHABLE: {
    then: 'person',
    exit: 4,
    cause: 'PostgreSQL does not answer, or refuses the user, password or database',
    remedy: 'check DATABASE_URL and that PostgreSQL runs',
  },
  SCHEMA_OUTDATED: {
    then: 'person',
    exit: 1,
    cause: 'the database lacks migrations of this version',
    remedy: 'run `debgeo migrate`',
  },
  STACK_BUSY: usage(
    'the servers of this demo or of `npm run dev` run already in the same folder',
    'stop the other one first, or set DEBGEO_DATA_DIR to a folder of its own',
  ),
  STACK_FAILED: {
    then: 'person',
    exit: 4,
    cause:
      'a local server (PostgreSQL, Temporal, Azurite) of the demo or of `npm run dev` did not start or ended',
    remedy: 'read the log that the message names',
  },
  TEMPORAL_BINARY_MISSING: {
    then: 'person',
    exit: 4,
    cause: 'no Temporal server of the tested version was found, downloaded or built',
    remedy: 'set DEBGEO_TEMPORAL_BINARY, or install Go so that it can be built',
  },
  TEMPORAL_UNREACHABLE: {
    then: 'person',
    exit: 4,
    cause: 'the Temporal server does not answer, or refuses the call',
    remedy: 'check TEMPORAL_ADDRESS and that the server runs',
  },
} as const satisfies Record<string, Rule>;

export type ErrorCode = keyof typeof RULES;

/**
 * An error as it travels through Temporal, is stored as an incident and is printed. Plain JSON,
 * never a secret.
 */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly expected?: string;
  readonly found?: string;
  /** What is true now: what changed, who still serves what. */
  readonly state?: string;
  /** Not before this many milliseconds, when the other side said so (Retry-After). */
  readonly retryAfterMs?: number;
}

export class DebgeoError extends Error {
  readonly report: ErrorReport;

  constructor(
    code: ErrorCode,
    message: string,
    facts: Omit<ErrorReport, 'code' | 'message'> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DebgeoError';
    this.report = { code, message, ...facts };
  }

  get code(): ErrorCode {
    return this.report.code;
  }
}

export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === 'string' && Object.hasOwn(RULES, value);

export const ruleOf = (code: ErrorCode): Rule => RULES[code];
