/**
 * Every way in which debgeo refuses or fails, as one closed table.
 *
 * Absent, invalid and unreachable are three different answers and have different codes. A code says
 * what happens next:
 * - `backoff`: the lane or the capture loop tries again by itself, ever slower, for ever;
 * - `person`: an operator has to act: parked. The lane tries again by itself every hour, and when
 *   what it waits for has changed; `debgeo retry` starts it at once;
 * - `at-once`: not a failure of the replication; the next step is taken without waiting.
 *
 * Import-safe for workflows: no builtin, no I/O. One file of more than 300 lines: one closed table.
 */
import { LIMITS } from './limits.ts';
import { printable, printableLines } from './text.ts';

interface Rule {
  readonly then: 'backoff' | 'person' | 'at-once';
  /**
   * Exit code of a command that ends with this: 1 failed, 2 usage, 3 refused, 4 unreachable, 5
   * cancelled.
   */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  /** When this happens. */
  readonly cause: string;
  /** What the operator types, or whom the operator asks; `nothing: …` where neither helps. */
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
/** @param remedy what has to change; what debgeo does then is the same for all of them */
const parked = (cause: string, remedy: string): Rule => ({
  then: 'person',
  exit: 1,
  cause,
  remedy: `${remedy}; debgeo tries again by itself every hour, \`debgeo retry DIST\` at once`,
});
const usage = (cause: string, remedy: string): Rule => ({ then: 'person', exit: 2, cause, remedy });

export const RULES = {
  // The archive could not be asked.
  ARCHIVE_UNREACHABLE: unreachable(
    'no connection, a broken or stalled one, or an answer of the archive that is an error (5xx ' +
      'and the like); or its folder is not there',
    'run `debgeo doctor` where the worker runs, and ask the archive if it does not answer; ' +
      'debgeo looks again by itself',
  ),
  ARCHIVE_SLOW: transient(
    'the archive sends fewer bytes a second than any line does (a byte a second, say)',
    'ask the archive, or find the proxy that holds its answers back; debgeo looks again by itself',
  ),
  ARCHIVE_THROTTLED: unreachable(
    'the archive answered 429 or 503; its Retry-After is kept',
    'ask the archive for a higher limit if this stays; debgeo looks again by itself, when the ' +
      'archive says',
  ),
  ARCHIVE_DENIED: unreachable(
    'the archive, or a proxy before it (407), answered 401, 402, 403, 407 or 451; or the worker ' +
      'may not read its folder',
    'give the archive a `login` that may read it and `debgeo apply`, or correct the secret that ' +
      'the message names (a folder: let the user of the worker read it), then `debgeo update DIST`',
  ),
  ARCHIVE_LOGIN_MISSING: unreachable(
    'the variable or file that the login of an archive names is not there or empty, where the ' +
      'worker runs',
    'set the variable or file that the `login` of the archive names, then `debgeo update DIST`; ' +
      'debgeo looks again by itself',
  ),
  ARCHIVE_REDIRECT: refused(
    'a redirect to an origin that the archive does not allow (`redirect_origins`), to nowhere, ' +
      'or too many in a row',
    'if that host is meant, add it to `redirect_origins` of the archive, or make it the `url`, ' +
      'and `debgeo apply`',
  ),
  ADDRESS_REFUSED: refused(
    'an archive, or a redirect of it, has an address that is link-local or of the metadata of a ' +
      'cloud, or without `private_network: true` a loopback, private or reserved one; or a site ' +
      'or its `public_url` has one of such metadata. Nothing was sent there',
    'if the archive is meant to be in a network of your own, set `private_network: true` for it ' +
      'and `debgeo apply`; what is refused nevertheless needs another URL: find out who gave ' +
      'that name this address',
  ),
  ARCHIVE_CHANGING: transient(
    'the archive, or a file of its folder, changed again and again while it was read',
    '`debgeo update DIST` when the archive has finished its release; debgeo looks again by itself',
  ),

  // What the archive released is not accepted. Sites keep serving what they serve.
  RELEASE_MISSING: refused(
    'the archive has neither InRelease nor Release in the folder of the suite',
    'correct `url` of the archive and `suite` of the distribution, and `debgeo apply`; or ask ' +
      'the archive',
  ),
  RELEASE_UNSIGNED: refused(
    'a keyring is pinned, and the archive has neither InRelease nor Release.gpg',
    'ask the archive for a signed Release',
  ),
  RELEASE_MALFORMED: refused(
    'the Release is not one stanza of control data with the fields that Debian defines',
    'read the InRelease of the archive: if it is no Release file as Debian defines it, ask the ' +
      'archive',
  ),
  SIGNATURE_MALFORMED: refused(
    'InRelease or Release.gpg is not a signature in the form that apt accepts',
    'read the InRelease of the archive: an error page of a proxy, or a truncated file, perhaps; ' +
      'ask the archive',
  ),
  SIGNATURE_INVALID: refused(
    'a signature of a pinned key does not match the bytes, or uses an algorithm that is not ' +
      'accepted',
    'ask the archive; do not override: the bytes are not what the key holder signed',
  ),
  SIGNATURE_UNKNOWN_KEY: refused(
    'there are signatures, but none of a pinned key',
    'if the archive announced a new key, add it to the keyring of the archive and `debgeo apply`',
  ),
  SIGNATURE_KEY_EXPIRED: refused(
    'the signature is right, but the pinned key has expired',
    'get the extended key from the archive, put it into the keyring of the archive and ' +
      '`debgeo apply`',
  ),
  SIGNATURE_KEY_REVOKED: refused(
    'the signature is right, but the pinned key was revoked',
    'get the new key of the archive from a source that you trust, put it into the keyring and ' +
      '`debgeo apply`',
  ),
  RELEASE_EXPIRED: refused(
    'Valid-Until of the Release is over',
    'ask the archive to release again: clients, too, stop accepting this release now',
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
    'Date of the Release is older than that of a release accepted before',
    'ask why the archive went back; if that was meant, ' +
      '`debgeo update DIST --accept-older REASON` takes it',
  ),
  RELEASE_STALE: {
    then: 'at-once',
    exit: 1,
    cause:
      'the newest release is older than `stale_after` of the distribution: the archive rests, ' +
      'or its releases are held back',
    remedy:
      'ask the archive by another way whether it released; if it rests, set a longer ' +
      '`stale_after` and `debgeo apply`; the incident ends with a newer release',
  },
  KEY_EXPIRES: {
    then: 'at-once',
    exit: 1,
    cause:
      'the last of the pinned keys that signed the newest release expires within 30 days, or one ' +
      'of its signatures does: no release is accepted from then on',
    remedy:
      'get the successor, or the extended key, from a source that you trust, put it into the ' +
      'keyring of the archive and `debgeo apply`; the incident ends when a release is signed ' +
      'with a key that lasts (`debgeo keys DIST`)',
  },
  SELECTION_UNKNOWN: refused(
    'a component or architecture of the distribution is not named by the Release',
    'choose components and architectures that the Release names, and `debgeo apply`',
  ),
  HOSTILE_PATH: refused(
    'a path of the Release or of an index is absolute, has `..` or forbidden characters, or ' +
      'lies where it may not; or it is a link out of the folder of the archive, or no regular ' +
      'file there',
    'tell the archive: a path like this could leave the site that it is copied to',
  ),
  PATH_UNREADABLE: refused(
    'an index names a file with `./` in its path: apt asks for it as written, and blob storage ' +
      'cannot have that name',
    'ask the archive to list its files without ./ (`dpkg-scanpackages sub` does, ' +
      '`dpkg-scanpackages .` does not)',
  ),
  PATH_AMBIGUOUS: refused(
    'two paths with different files differ in upper and lower case or in Unicode normalisation ' +
      'only',
    'ask the archive to rename one of them: a file system or server that does not tell them ' +
      'apart serves one in place of the other',
  ),
  INDEX_MISSING: refused(
    'Release lists an index, and the archive has no variant of it that debgeo can read',
    'ask the archive for the index, or for a new Release that does not list it',
  ),
  INDEX_MISMATCH: transient(
    'the size or digest of an index is not what Release says',
    'if this stays for an hour, ask the archive (in the middle of a release it is normal); ' +
      'debgeo looks again by itself',
  ),
  INDEX_MALFORMED: refused(
    'an index cannot be decompressed or is not control data as Debian defines it',
    'ask the archive to write its index as Debian defines it',
  ),
  INDEX_CONTRADICTION: refused(
    'one path is listed twice with different size or digest, or two variants of an index hold ' +
      'different bytes',
    'ask the archive which of the two is right, and for a new release',
  ),
  LIMIT_EXCEEDED: refused(
    'a file, line, number of entries or decompressed size is beyond its limit',
    'ask the archive why it is so large, or choose fewer components or architectures and ' +
      '`debgeo apply`; all bounds are in src/domain/limits.ts',
  ),
  SNAPSHOT_EMPTY: refused(
    'the indices of the selection name no file at all; 0 of 0 is not verified',
    'choose other components or architectures and `debgeo apply`: these name no package',
  ),

  // One blob cannot be had right.
  BLOB_MISSING: transient(
    'no origin (primary site, archive, other sites) has a file that an index names',
    'ask the archive for the file that its index names; debgeo tries again by itself',
  ),
  BLOB_MISMATCH: transient(
    'every origin that has the file serves bytes that differ from what its index says',
    'ask the archive: the bytes that it serves differ from its own index; debgeo tries again by ' +
      'itself',
  ),
  BLOB_UNREACHABLE: transient(
    'another site that has the file cannot be asked, and no other origin has it',
    'let the site that the message names answer again, or ask the archive for the file; debgeo ' +
      'tries again by itself',
  ),
  SUPERSEDED: {
    then: 'at-once',
    exit: 1,
    cause: 'a blob of an older generation cannot be had, and a newer generation waits',
    remedy: 'nothing: a newer generation replaces this one',
  },

  // A site.
  SITE_UNREACHABLE: unreachable(
    "no connection to the site, a broken one, or an answer that is no blob store's or an error " +
      'of its own (5xx)',
    'run `debgeo doctor` where the worker runs, and check the network to the site; debgeo tries ' +
      'again by itself',
  ),
  SITE_THROTTLED: unreachable(
    'the site answered 429 or 503; its Retry-After is kept',
    'set a lower `bytes_per_second` for the site and `debgeo apply` if this stays; debgeo tries ' +
      'again by itself, when the site says',
  ),
  SITE_STALLED: unreachable(
    'too few bytes moved to or from the site for too long',
    'check the network between worker and site if this stays; debgeo tries again by itself',
  ),
  SITE_CREDENTIAL_MISSING: parked(
    'the variable or file that the credential names is not there or empty, where the worker runs',
    'set the variable or file that the credential of the site names',
  ),
  SITE_HOST_UNLISTED: parked(
    'a SAS or a token of an identity would go to a host that is no blob endpoint of Azure over ' +
      'https, and that the worker does not list',
    'correct `account_url` of the site and `debgeo apply`; or, where the host is meant (a proxy ' +
      'or a custom domain), list it in DEBGEO_STORAGE_HOSTS of the worker, and start the worker ' +
      'again',
  ),
  SITE_IDENTITY_MISSING: unreachable(
    "the site has `credential: default`, and where the worker runs Azure's default identity " +
      'gives no token, or none in time',
    'give the worker a managed or workload identity, or the variables of a service principal; ' +
      'debgeo tries again by itself',
  ),
  SITE_DENIED: parked(
    'the site refuses the credential, or the credential lacks a right',
    'give the credential of the site the right to read, write and delete blobs',
  ),
  SITE_CONTAINER_MISSING: parked(
    'the container of the site does not exist',
    'create the container of the site',
  ),
  SITE_NOT_PUBLIC: parked(
    'what was published cannot be read anonymously at public_url',
    'allow anonymous read of blobs at public_url of the site',
  ),
  SITE_REFUSED: parked(
    'the site answered with a refusal that trying again does not change',
    'run `debgeo doctor`, and remove what the answer of the site names as the reason',
  ),
  SITE_SERVES_OTHER: transient(
    'the bytes at public_url are not those that were published',
    'empty the cache between the site and public_url, if there is one; debgeo tries again by ' +
      'itself',
  ),
  SITE_TAKEN: parked(
    'another deployment of debgeo has claimed the site, or the site serves a release that this ' +
      'database did not write and has no `.debgeo/site.json`',
    'choose a container or a prefix of its own for the site, under another name in the ' +
      'configuration, and `debgeo apply`; where the other database is lost, or this one was ' +
      'restored twice from one backup, `debgeo adopt SITE --take-over --reason TEXT`; where the ' +
      'other lives and this one shall have the place, run `debgeo release SITE` there, and ' +
      'delete the InRelease and Release that the message names',
  ),
  SITE_AHEAD: transient(
    'the site has a release that this database does not know, or files were deleted there since: ' +
      'the database was restored from an older backup',
    'nothing: debgeo reads the site back, and publishes over the lost release as soon as that of ' +
      'the archive is not older; nothing is deleted there until then; if it stays, ask the ' +
      'archive for a release, or `debgeo apply` the distribution that the message names; where ' +
      'releases have no Date, `debgeo adopt SITE --reason TEXT`',
  ),
  SITE_BEHIND: transient(
    'what debgeo keeps below `.debgeo/` of the site is gone or older than it was, or a verified ' +
      'file is gone: the container was emptied, or an older copy of it was restored; or that is ' +
      'over, and clients may still read what it showed',
    'nothing: debgeo reads every file of the site back, copies what lacks, and publishes again; ' +
      '`debgeo status` shows how far it is; prune and scrub wait for that, and for `grace`',
  ),
  ANCHOR_UNREADABLE: parked(
    'an object below `.debgeo/` of a site is not what debgeo writes there: it was damaged, comes ' +
      'from another program, or from a newer version of debgeo',
    'start the version of debgeo that knows the format which was found; or else find out what ' +
      'writes to the site, and delete the object that the message names',
  ),
  BLOB_CORRUPT: {
    then: 'at-once',
    exit: 1,
    cause: 'the bytes read back from a site differ from what the catalog says',
    remedy: 'nothing: debgeo repairs it from another source',
  },
  BLOB_HELD: {
    then: 'at-once',
    exit: 1,
    cause:
      'a site does not delete a file that nothing needs any more: an immutability policy, a ' +
      'legal hold or a lease keeps it',
    remedy:
      'let it be, if that is meant: prune remembers the file and asks again every day; else end ' +
      'the policy, hold or lease at the storage account, then `debgeo prune --site SITE` asks at ' +
      'once',
  },
  SCRUB_BEHIND: {
    then: 'at-once',
    exit: 1,
    cause:
      'the last complete scrub of a site is older than twice its interval, counted from when the ' +
      'scrub was switched on',
    remedy:
      '`debgeo status` says how far it is: give it a longer `scrub` or more `bytes_per_second`, ' +
      'a worker that is nearer, or `debgeo resume --site SITE`; the incident ends with a pass ' +
      'that is complete',
  },
  FOREIGN_WRITE: parked(
    'a program other than debgeo changed a blob of ours at the site, or the blob keeps changing',
    'find out which other program writes to this site, or give debgeo a prefix of its own',
  ),
  PATH_CONFLICT: parked(
    'a snapshot needs other bytes at a pool path than an earlier one put there',
    'ask the archive for a release that does not need it, under another version of the package ' +
      'perhaps; or give the archives different mounts; else it waits until nothing needs the old ' +
      'file and prune has deleted it (`debgeo prune --dry-run`). Each of the two wakes it',
  ),

  REFERENCE_REFUSED: parked(
    'a credential or login names a variable or file that the worker does not give away, or the ' +
      'folder of an archive lies where the worker reads none',
    'give the variable a name that begins with DEBGEO_, in the environment of the worker and ' +
      'in the file; or move the file below DEBGEO_SECRETS_DIR, the folder of the archive below ' +
      'DEBGEO_ARCHIVES_DIR; then `debgeo apply`',
  ),

  // The lane itself.
  NOT_VERIFIED: transient(
    'a step that needs every blob verified, or the snapshot published, found that it is not so',
    'read `debgeo status DIST` if this stays: it names what lacks; debgeo tries again by itself',
  ),
  GENERATION_BACKWARDS: parked(
    'the site serves a newer generation than the one to be published',
    'find out whether the database was restored from a backup; a newer release of the archive ' +
      'is published, for a site never goes back',
  ),
  FENCED: {
    then: 'backoff',
    exit: 1,
    cause: 'an attempt that was given up, or whose replication was removed, tried to go on',
    remedy: 'nothing: a newer attempt has taken over',
  },
  STALLED: transient(
    'an activity or request did not end in its time, or was given up',
    'read the log of the worker if this stays: it was lost or hung; debgeo tries again by itself',
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
    cause: 'an operator paused the replication, or the prune and the scrub of a site',
    remedy: '`debgeo resume DIST`, or `debgeo resume --site SITE`, goes on where it stopped',
  },
  DISK_FULL: transient(
    'the disk of the worker has no room left for the files of a capture (TMPDIR, else /tmp)',
    'set TMPDIR of the worker to a disk with room, or free some there, and start the worker ' +
      'again; debgeo tries again by itself',
  ),
  UNKNOWN: transient(
    'an error that no rule here describes',
    'read the log of the worker, and report the error: debgeo does not know it',
  ),

  DATABASE_REFUSED: transient(
    'PostgreSQL does not store what debgeo writes, however often it is written: a value that a ' +
      'column cannot hold, or a row that a constraint excludes',
    'read the log of the worker, and report the error: it is a fault of debgeo; debgeo tries ' +
      'again by itself, in case the archive or site says something else',
  ),
  PRUNE_REFUSED: refused(
    'nothing of an archive would be kept, or the catalog lacks files of a snapshot that a site ' +
      'serves: a database that was restored or cut, perhaps',
    'find out what happened to the database, restore it, or let the sites serve a new release: ' +
      'debgeo deletes nothing until the catalog is whole',
  ),
  ADOPT_REFUSED: refused(
    'what stands at a site cannot be adopted: its `.debgeo/` does not vouch for the release that ' +
      'is visible, or the archive was not looked at before',
    'start a worker, wait until `debgeo status` shows a generation, then adopt again; where ' +
      'nothing vouches for what is visible, choose a container or a prefix of its own for the ' +
      'site, under another name in the configuration, and `debgeo apply`',
  ),

  // Commands.
  CONFIG_INVALID: usage(
    'a configuration file, environment variable or setting of a server is not as it must be',
    'correct the file or the setting that the message names',
  ),
  NAME_UNKNOWN: usage(
    'no distribution or site has this name, or the distribution is not replicated to this site',
    '`debgeo status` lists the names',
  ),
  WORKFLOW_FAILING: {
    then: 'person',
    exit: 1,
    cause:
      'each workflow task of a distribution or site fails: the worker has another version than ' +
      'the one that began the run, or a bug',
    remedy:
      'start workers of the version that began the run; or end the run by `temporal workflow ' +
      'terminate --workflow-id distribution/DIST`: a worker starts the next one within a ' +
      'minute, and it goes on from the rows',
  },
  NO_WORKER: {
    then: 'person',
    exit: 4,
    cause: 'no worker polls the queue, or none answered in time',
    remedy: 'start a worker with `debgeo worker`; the command waits for it in Temporal',
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
  SCHEMA_NEWER: {
    then: 'person',
    exit: 1,
    cause: 'the database was migrated by a newer version than this one',
    remedy: 'start the version that migrated the database, or a newer one',
  },
  STACK_BUSY: usage(
    'the servers of this demo or of `npm run dev` run already in the same folder',
    'stop the other one first, or set DEBGEO_DATA_DIR to a folder of its own',
  ),
  STACK_FAILED: {
    then: 'person',
    exit: 4,
    cause:
      'a local server (PostgreSQL, Temporal, Azurite) of the demo or of `npm run dev` did not ' +
      'start or ended',
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
 * never a secret. Every text is printable (`text.ts`) and bounded: `message` is one line, the facts
 * are several where debgeo lists faults.
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

/** A text is one line, whatever is in it; a list is so many lines. */
type Fact = string | readonly string[];

interface Facts {
  readonly expected?: Fact | undefined;
  readonly found?: Fact | undefined;
  readonly state?: Fact | undefined;
  readonly retryAfterMs?: number | undefined;
}

/**
 * The border at which text from outside becomes a part of debgeo: message and facts may quote
 * anything, the report is printable and bounded.
 */
export class DebgeoError extends Error {
  readonly report: ErrorReport;

  constructor(code: ErrorCode, message: string, facts: Facts = {}, cause?: unknown) {
    super(printable(message), cause === undefined ? undefined : { cause });
    this.name = 'DebgeoError';
    this.report = {
      code,
      message: this.message,
      ...(facts.expected === undefined ? {} : { expected: linesOf(facts.expected) }),
      ...(facts.found === undefined ? {} : { found: linesOf(facts.found) }),
      ...(facts.state === undefined ? {} : { state: linesOf(facts.state) }),
      ...(facts.retryAfterMs === undefined ? {} : { retryAfterMs: facts.retryAfterMs }),
    };
  }

  /** The error that another process, a row or an error before reported; facts keep their lines. */
  static of({ code, message, expected, found, state, retryAfterMs }: ErrorReport): DebgeoError {
    const lines = (fact: string | undefined): string[] | undefined =>
      fact === undefined ? undefined : printableLines(fact, Infinity).split('\n');
    return new DebgeoError(code, message, {
      expected: lines(expected),
      found: lines(found),
      state: lines(state),
      retryAfterMs,
    });
  }

  get code(): ErrorCode {
    return this.report.code;
  }
}

export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === 'string' && Object.hasOwn(RULES, value);

/** A code of another version (in a row, say) is UNKNOWN. */
export const ruleOf = (code: ErrorCode): Rule => RULES[isErrorCode(code) ? code : 'UNKNOWN'];

/** An operator has to act, or something else to change: what failed with it is parked. */
export const needsPerson = (code: ErrorCode): boolean => ruleOf(code).then === 'person';

/**
 * A report that this process did not make, with texts as its own: of a worker of another version,
 * of a row. All of a fact's lines together have LIMITS.errorCharacters.
 */
export const printableReport = (report: ErrorReport): ErrorReport => ({
  code: report.code,
  message: printable(report.message),
  ...(report.expected === undefined ? {} : { expected: printableLines(report.expected) }),
  ...(report.found === undefined ? {} : { found: printableLines(report.found) }),
  ...(report.state === undefined ? {} : { state: printableLines(report.state) }),
  ...(typeof report.retryAfterMs === 'number' ? { retryAfterMs: report.retryAfterMs } : {}),
});

function linesOf(fact: Fact): string {
  if (!Array.isArray(fact)) return printable(fact);
  const lines = fact.slice(0, LIMITS.errorLines).map((line: unknown) => printable(line));
  const rest = fact.length - lines.length;
  return [...lines, ...(rest === 0 ? [] : [`… and ${rest} more`])].join('\n');
}
