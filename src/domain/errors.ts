/**
 * Every way in which debgeo refuses or fails, as one closed table.
 *
 * Absent, invalid and unreachable are three different answers and have different codes. A code says
 * what happens next: `backoff`: the lane or the capture loop tries again by itself, ever slower,
 * for ever; `person`: nothing changes until an operator acts: parked, and `debgeo retry` starts it
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
    'no connection to the archive, a broken or stalled one, or an answer that is an error (5xx' +
      ' and the like); or the folder of the archive does not exist',
    'check that the archive answers this worker; debgeo looks again by itself',
  ),
  ARCHIVE_SLOW: transient(
    'the archive sends fewer bytes a second than any working line does (one byte a second, say)',
    'ask the archive, or find what holds its answers back; debgeo looks again by itself',
  ),
  ARCHIVE_THROTTLED: unreachable(
    'the archive answered 429 or 503; debgeo keeps to its Retry-After',
    'nothing: the archive asked for fewer requests, and debgeo looks again by itself',
  ),
  ARCHIVE_DENIED: unreachable(
    'the archive answered 401, 402, 403, 407 or 451, or the worker may not read its folder',
    'check that this worker may read the archive without credentials',
  ),
  ARCHIVE_REDIRECT: refused(
    'the archive redirects to an origin that `redirect_origins` does not list, to no URL, or too' +
      ' many times in a row',
    'if that host is meant, add it to `redirect_origins` of the archive or make its URL the' +
      ' `url`, and apply',
  ),
  ARCHIVE_CHANGING: transient(
    'the archive, or a file in its folder, changed again and again while debgeo read it',
    'nothing: the archive was releasing, and debgeo looks again by itself',
  ),

  // What the archive released is not accepted. Sites keep serving what they serve.
  RELEASE_MISSING: refused(
    'the folder of the suite has neither InRelease nor Release',
    'check `url` of the archive and `suite` of the distribution',
  ),
  RELEASE_UNSIGNED: refused(
    'a keyring is pinned, and the archive has neither InRelease nor Release.gpg',
    'ask the archive for a signed Release',
  ),
  RELEASE_MALFORMED: refused(
    'the Release is not one stanza of control data with the fields that Debian defines',
    'look at InRelease of the archive: it is not a Release file as Debian defines it',
  ),
  SIGNATURE_MALFORMED: refused(
    'InRelease or Release.gpg is not a signature in the form that apt accepts',
    'look at InRelease of the archive: it may be an error page or a truncated file',
  ),
  SIGNATURE_INVALID: refused(
    'a signature by a pinned key does not match the bytes, or uses an algorithm that is not' +
      ' accepted',
    'do not override this: the holder of the key did not sign these bytes; ask the archive',
  ),
  SIGNATURE_UNKNOWN_KEY: refused(
    'there are signatures, but none by a pinned key',
    'if the archive announced a new key, add it to the keyring of the archive and apply',
  ),
  SIGNATURE_KEY_EXPIRED: refused(
    'the signature is right, but the pinned key has expired',
    'get the extended key from the archive, put it into the keyring of the archive and apply',
  ),
  SIGNATURE_KEY_REVOKED: refused(
    'the signature is right, but the pinned key was revoked',
    'the archive withdrew its key: get the new key from a source that you trust',
  ),
  RELEASE_EXPIRED: refused(
    'Valid-Until of the Release has passed',
    'ask the archive to release again; clients refuse this release now, too',
  ),
  RELEASE_FUTURE: refused(
    'Date of the Release lies further in the future than clocks may differ',
    'compare the clocks of the archive and of this worker; debgeo looks again by itself',
  ),
  RELEASE_UNDATED: refused(
    'the Release has no Date, and the distribution does not say `accept_undated: true`',
    'ask the archive for a Date field: debgeo cannot notice a rollback without it',
  ),
  RELEASE_ROLLBACK: refused(
    'Date of the Release is earlier than that of a release accepted before',
    'find out why the archive went back; if it was meant to, `debgeo update DIST --accept-older' +
      ' REASON` takes the older release',
  ),
  RELEASE_STALE: {
    then: 'at-once',
    exit: 1,
    cause:
      'the newest release is older than `stale_after` of the distribution: the archive rests, or' +
      ' its releases are held back on the way',
    remedy:
      'ask the archive by another way whether it released; if it rests, set a longer' +
      ' `stale_after` and apply; a newer release ends this incident',
  },
  SELECTION_UNKNOWN: refused(
    'the Release does not name a component or architecture of the distribution',
    'choose `components` and `architectures` that the Release names',
  ),
  HOSTILE_PATH: refused(
    'a path of the Release or of an index is absolute, has `..` or forbidden characters, or lies' +
      ' where it may not; or, in a folder, it is a link out of the archive or no regular file',
    'tell the archive: such a path could leave the site that it is copied to',
  ),
  PATH_UNREADABLE: refused(
    'an index names a file with `./` in its path: apt asks for the path as written, and blob' +
      ' storage cannot have that name',
    'ask the archive to list its files without `./` (`dpkg-scanpackages sub` does,' +
      ' `dpkg-scanpackages .` does not)',
  ),
  PATH_AMBIGUOUS: refused(
    'two paths with different files differ in upper and lower case or in Unicode normalisation' +
      ' only',
    'ask the archive to rename one of them: a file system or server that does not tell them' +
      ' apart serves one in place of the other',
  ),
  INDEX_MISSING: refused(
    'the Release lists an index, and the archive has no readable variant of it',
    'ask the archive: it lists an index that it does not have',
  ),
  INDEX_MISMATCH: transient(
    'the size or digest of an index is not what the Release says',
    'if it stays, ask the archive; in the middle of a release it is normal, and debgeo looks' +
      ' again by itself',
  ),
  INDEX_MALFORMED: refused(
    'an index cannot be decompressed or is not control data as Debian defines it',
    'ask the archive: its index is not what Debian defines',
  ),
  INDEX_CONTRADICTION: refused(
    'one path is listed twice with different sizes or digests, or two variants of an index hold' +
      ' different bytes',
    'ask the archive: its indices contradict each other',
  ),
  LIMIT_EXCEEDED: refused(
    'a file, a line, a number of entries or a decompressed size is beyond its limit',
    'the archive is larger than debgeo accepts here: see src/domain/limits.ts',
  ),
  SNAPSHOT_EMPTY: refused(
    'the indices of the selection name no file at all; 0 of 0 files is not verified',
    'choose other `components` or `architectures`: the selection names no package',
  ),

  // One blob cannot be had right.
  BLOB_MISSING: transient(
    'no origin (primary site, archive, other sites) has a file that an index names',
    'ask the archive: its index names a file that it does not have',
  ),
  BLOB_MISMATCH: transient(
    'every origin that has the file serves bytes that differ from what its index says',
    'ask the archive: the bytes that it serves differ from its own index',
  ),
  SUPERSEDED: {
    then: 'at-once',
    exit: 1,
    cause: 'a blob of an older generation cannot be had, and a newer generation waits',
    remedy: 'nothing: a newer generation replaces this one',
  },

  // A site.
  SITE_UNREACHABLE: unreachable(
    'no connection to the site, a broken one, or an answer that is an error of its own (5xx) or' +
      ' not that of a blob store',
    'check the network to the site; debgeo tries again by itself',
  ),
  SITE_THROTTLED: unreachable(
    'the site answered 429 or 503; debgeo keeps to its Retry-After',
    'nothing: the site asked for fewer requests, and debgeo tries again by itself',
  ),
  SITE_STALLED: unreachable(
    'too few bytes moved to or from the site for too long',
    'check the network to the site: it takes requests and does not answer; debgeo tries again by' +
      ' itself',
  ),
  SITE_CREDENTIAL_MISSING: parked(
    'the variable or file that the credential names is missing or empty where the worker runs',
    'set the variable or file that the credential of the site names, then `debgeo retry DIST`',
  ),
  SITE_IDENTITY_MISSING: unreachable(
    "the site has `credential: default`, and where the worker runs Azure's default identity" +
      ' gives no token, or none in time',
    'give the worker a managed or workload identity, or the variables of a service principal;' +
      ' debgeo tries again by itself',
  ),
  SITE_DENIED: parked(
    'the site refuses the credential, or the credential lacks a right',
    'give the credential of the site the right to read, write and delete blobs, then `debgeo' +
      ' retry DIST`',
  ),
  SITE_CONTAINER_MISSING: parked(
    'the container of the site does not exist',
    'create the container of the site, then `debgeo retry DIST`',
  ),
  SITE_NOT_PUBLIC: parked(
    'what was published cannot be read anonymously at `public_url`',
    'allow anonymous read of blobs at `public_url` of the site, then `debgeo retry DIST`',
  ),
  SITE_REFUSED: parked(
    'the site answered with a refusal that trying again does not change',
    'see what the site answered and change that, then `debgeo retry DIST`',
  ),
  SITE_SERVES_OTHER: transient(
    'the bytes at `public_url` are not those that were published',
    'look for a cache or another server in front of the site; debgeo tries again by itself',
  ),
  BLOB_CORRUPT: {
    then: 'at-once',
    exit: 1,
    cause: 'the bytes read back from a site differ from what the catalog says',
    remedy: 'nothing: debgeo repairs them from another source',
  },
  FOREIGN_WRITE: parked(
    'another writer changed a blob of debgeo at the site, or keeps changing it',
    'give debgeo a prefix of its own, which nothing else writes to, then `debgeo retry DIST`',
  ),
  PATH_CONFLICT: parked(
    'a snapshot needs other bytes at a pool path than an earlier snapshot put there',
    'give the archives different mounts; or, once nothing needs the old file and prune has' +
      ' deleted it (`debgeo prune --dry-run`), `debgeo retry DIST`',
  ),

  // The lane itself.
  NOT_VERIFIED: transient(
    'a step that needs every blob verified, or the snapshot published, found that it is not so',
    'nothing: debgeo verifies the rest and tries again by itself',
  ),
  GENERATION_BACKWARDS: parked(
    'the site serves a newer generation than the one to be published',
    'see `debgeo status DIST`: a site never goes back by itself',
  ),
  FENCED: {
    then: 'backoff',
    exit: 1,
    cause: 'an attempt that was given up, or whose replication was removed, tried to go on',
    remedy: 'nothing: a newer attempt has taken over',
  },
  STALLED: transient(
    'an activity or request did not end in its time, or was given up',
    'nothing: a worker was lost or hung, and debgeo tries again by itself',
  ),
  CANCELLED: {
    then: 'person',
    exit: 5,
    cause: 'an operator cancelled the replication',
    remedy: '`debgeo retry DIST` goes on where it stopped',
  },
  PAUSED: {
    then: 'person',
    exit: 5,
    cause: 'an operator paused the replication',
    remedy: '`debgeo resume DIST` goes on where it stopped',
  },
  UNKNOWN: transient(
    'an error that no rule here describes',
    'see the log of the worker: debgeo does not know this error',
  ),

  PRUNE_REFUSED: refused(
    'prune would keep nothing of an archive, or the catalog lacks files of a snapshot that a' +
      ' site serves: the database was restored or cut, perhaps',
    'find out what happened to the database, and restore it or let the sites serve a new' +
      ' release; prune deletes nothing until the catalog is whole',
  ),

  // Commands.
  CONFIG_INVALID: usage(
    'a configuration file, environment variable or setting of a server is not as it must be',
    'correct the file, the variable or the setting',
  ),
  NAME_UNKNOWN: usage(
    'no distribution or site has this name, or the distribution is not replicated to this site',
    '`debgeo status` lists the names',
  ),
  NO_WORKER: {
    then: 'person',
    exit: 4,
    cause: 'no worker polls the queue, or none answered in time',
    remedy: 'start a worker with `debgeo worker`; what was asked for waits for it',
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
      'a local server (PostgreSQL, Temporal, Azurite) of the demo or of `npm run dev` did not' +
      ' start, or ended',
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
