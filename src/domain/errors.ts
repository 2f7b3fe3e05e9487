/**
 * Every way in which debgeo refuses or fails, as one closed table.
 *
 * Absent, invalid and unreachable are three different answers and have different codes. A code says what happens next:
 * `backoff`: the lane or the capture loop tries again by itself, ever slower, for ever;
 * `person`:  nothing will change until somebody acts: parked, and `debgeo retry` starts it again;
 * `at-once`: not a failure of the replication; the next step is taken without waiting.
 * Import-safe for workflows: no builtin, no I/O.
 */
interface Rule {
  readonly then: 'backoff' | 'person' | 'at-once';
  /** Exit code of a command that ends with this: 1 failed, 2 usage, 3 refused, 4 unreachable, 5 cancelled. */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  /** What a tired operator should type or look at. */
  readonly remedy: string;
}

const refused = (remedy: string): Rule => ({ then: 'backoff', exit: 3, remedy });
const unreachable = (remedy: string): Rule => ({ then: 'backoff', exit: 4, remedy });
const transient = (remedy: string): Rule => ({ then: 'backoff', exit: 1, remedy });
const parked = (remedy: string): Rule => ({ then: 'person', exit: 1, remedy });
const usage = (remedy: string): Rule => ({ then: 'person', exit: 2, remedy });

export const RULES = {
  // The archive could not be asked.
  ARCHIVE_UNREACHABLE: unreachable('check that the archive answers; debgeo looks again by itself'),
  ARCHIVE_THROTTLED: unreachable('the archive asked us to slow down; debgeo looks again by itself'),
  ARCHIVE_DENIED: unreachable('check that the archive may be read without credentials from this worker'),
  ARCHIVE_REDIRECT: refused('set the URL that the archive redirects to as its url, if that host is meant'),
  ARCHIVE_CHANGING: transient('the archive was releasing while we read it; debgeo looks again by itself'),

  // What the archive released is not accepted. Sites keep serving what they serve.
  RELEASE_MISSING: refused('check url and suite: there is neither InRelease nor Release'),
  RELEASE_UNSIGNED: refused('ask the archive for a signed Release'),
  RELEASE_MALFORMED: refused('look at the InRelease of the archive: it is not a Release file as Debian defines it'),
  SIGNATURE_MALFORMED: refused('look at the InRelease of the archive: an error page or a truncated file, perhaps'),
  SIGNATURE_INVALID: refused('do not override: the bytes are not what the key holder signed; ask the archive'),
  SIGNATURE_UNKNOWN_KEY: refused('if the archive announced a new key, add it to the keyring of the archive and apply'),
  SIGNATURE_KEY_EXPIRED: refused('get the extended key from the archive, put it into the keyring of the archive and apply'),
  SIGNATURE_KEY_REVOKED: refused('the archive withdrew its key: get the new one from a source that you trust'),
  RELEASE_EXPIRED: refused('the archive must release again; clients stop accepting this release now, too'),
  RELEASE_FUTURE: refused('compare the clocks of the archive and of this worker; debgeo looks again by itself'),
  RELEASE_UNDATED: refused('ask the archive for a Date field: without it a rollback cannot be seen'),
  RELEASE_ROLLBACK: refused('find out why the archive went back; an older release is never taken silently'),
  SELECTION_UNKNOWN: refused('choose components and architectures that the Release names'),
  HOSTILE_PATH: refused('tell the archive: a path like this could leave the site that it is copied to'),
  INDEX_MISSING: refused('the archive lists an index that no variant of exists; ask the archive'),
  INDEX_MISMATCH: transient('an index differs from what Release says, in the middle of a release perhaps'),
  INDEX_MALFORMED: refused('an index is not what Debian defines; ask the archive'),
  INDEX_CONTRADICTION: refused('one path is listed with two digests; ask the archive'),
  LIMIT_EXCEEDED: refused('the archive is larger than debgeo accepts in this place; see domain/limits.ts'),
  SNAPSHOT_EMPTY: refused('the selection names no package at all; choose other components or architectures'),

  // One blob cannot be had right.
  BLOB_MISSING: transient('the archive names a file in its index that it does not have; ask the archive'),
  BLOB_MISMATCH: transient('the bytes that the archive serves differ from its own index; ask the archive'),
  SUPERSEDED: { then: 'at-once', exit: 1, remedy: 'nothing: a newer generation replaces this one' },

  // A site.
  SITE_UNREACHABLE: unreachable('check the network to the site; debgeo tries again by itself'),
  SITE_THROTTLED: unreachable('the site asked us to slow down; debgeo tries again by itself'),
  SITE_STALLED: unreachable('the site accepts requests and does not answer; debgeo tries again by itself'),
  SITE_CREDENTIAL_MISSING: parked('set the variable or file that the credential of the site names, then `debgeo retry`'),
  SITE_DENIED: parked('give the credential of the site the right to read, write and delete blobs, then `debgeo retry`'),
  SITE_CONTAINER_MISSING: parked('create the container of the site, then `debgeo retry`'),
  SITE_NOT_PUBLIC: parked('allow anonymous read of blobs at public_url of the site, then `debgeo retry`'),
  SITE_REFUSED: parked('the site refuses this request for good; see its answer, then `debgeo retry`'),
  SITE_SERVES_OTHER: transient('the public URL does not serve what was written; a cache in between, perhaps'),
  BLOB_CORRUPT: { then: 'at-once', exit: 1, remedy: 'nothing: repaired from another source' },
  FOREIGN_WRITE: parked('somebody else writes to this site: give debgeo a prefix of its own, then `debgeo retry`'),
  PATH_CONFLICT: parked('two snapshots need different bytes at one path: give the archives different mounts'),

  // The lane itself.
  NOT_VERIFIED: transient('some blobs are not verified yet; debgeo tries again by itself'),
  GENERATION_BACKWARDS: parked('a site never goes back by itself'),
  FENCED: { then: 'backoff', exit: 1, remedy: 'nothing: a newer attempt has taken over' },
  STALLED: transient('a worker was lost or hung; debgeo tries again by itself'),
  CANCELLED: { then: 'person', exit: 5, remedy: '`debgeo retry` goes on where it stopped' },
  PAUSED: { then: 'person', exit: 5, remedy: '`debgeo resume` goes on where it stopped' },
  UNKNOWN: transient('an error that debgeo does not know; see the log of the worker'),

  // Commands.
  CONFIG_INVALID: usage('correct the file or the setting'),
  NAME_UNKNOWN: usage('`debgeo status` lists the names'),
  NO_WORKER: { then: 'person', exit: 4, remedy: 'start one with `debgeo worker`; what was asked for waits for it' },
  DATABASE_UNREACHABLE: { then: 'person', exit: 4, remedy: 'check DATABASE_URL and that PostgreSQL runs' },
  SCHEMA_OUTDATED: { then: 'person', exit: 1, remedy: 'run `debgeo migrate`' },
  STACK_BUSY: usage('stop the other one first, or set DEBGEO_DATA_DIR to a folder of its own'),
  STACK_FAILED: { then: 'person', exit: 4, remedy: 'read the log that the message names' },
  TEMPORAL_BINARY_MISSING: { then: 'person', exit: 4, remedy: 'set DEBGEO_TEMPORAL_BINARY, or install Go so that it can be built' },
  TEMPORAL_UNREACHABLE: { then: 'person', exit: 4, remedy: 'check TEMPORAL_ADDRESS and that the server runs' },
} as const satisfies Record<string, Rule>;

export type ErrorCode = keyof typeof RULES;

/** An error as it travels through Temporal, is stored as an incident and is printed. Plain JSON, never a secret. */
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

  constructor(code: ErrorCode, message: string, facts: Omit<ErrorReport, 'code' | 'message'> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DebgeoError';
    this.report = { code, message, ...facts };
  }

  get code(): ErrorCode {
    return this.report.code;
  }
}

export const isErrorCode = (value: unknown): value is ErrorCode => typeof value === 'string' && Object.hasOwn(RULES, value);

export const ruleOf = (code: ErrorCode): Rule => RULES[code];
