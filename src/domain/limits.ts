/**
 * Every bound on what an archive, a client or a site can make large, with its reason. Bytes,
 * milliseconds and counts. Import-safe for workflows: no builtin, no I/O.
 */
const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

export const LIMITS = {
  /** apt refuses larger ones (Acquire::MaxReleaseFileSize); sid has 193 kB. */
  releaseBytes: 10 * MiB,
  /**
   * Lines of InRelease or Release.gpg: four tables of releaseEntries. They are split before
   * anything is authenticated; 10 million empty ones took seconds.
   */
  releaseLines: 500_000,
  /** Signatures on one Release: trixie has 3; each costs a hash over the whole body. */
  signatures: 32,
  /**
   * One line of text under a signature: GnuPG 2.2 cuts at 20,000 with what it adds (tried: 19,992
   * is the longest that verifies); sid has lines of 200.
   */
  signedLineBytes: 19_992,
  /** Lines of Packages: the longest in bookworm has 75,649 bytes. */
  deb822LineBytes: 1 * MiB,
  /**
   * One stanza of Packages or Sources: apt's buffer, behind which it refuses all of its lists
   * (apt-pkg/tagfile.cc, Resize; tried: 1,048,693 bytes are read, 1,048,707 are not).
   */
  deb822StanzaBytes: 1 * MiB,
  /** Files that one Release may list: sid lists about 1,500. */
  releaseEntries: 100_000,
  /** One index as stored or decompressed: Contents-all of bookworm has 520 MB, compressed 40 MB. */
  indexBytes: 4 * GiB,
  /**
   * What is decompressed of an index whose uncompressed size Release does not give: then a ratio
   * must do, and xz of zeros reaches 6,869.
   */
  decompressedBytesUnlisted: 512 * MiB,
  /**
   * Memory of the decoders of a worker, and the most that one may ask for: `xz -9` needs 65 MiB,
   * `zstd -d` takes 128 without being told otherwise. liblzma is WebAssembly here and has 256 MiB
   * for all of them, which are rarely without gaps: a fourth `xz -9` would find no memory. The next
   * one waits; decoding takes one processor, so waiting costs no time.
   */
  decoderBytes: 128 * MiB,
  /**
   * All indices of a selection, as Release lists them; and what its Packages and Sources decompress
   * to. All of bookworm lists 4 GB in 772 files. Without it a Release of 100,000 entries would be
   * 400 TB in the database.
   */
  snapshotIndexBytes: 32 * GiB,
  /**
   * Different files of a snapshot: bookworm main amd64 has 63,440; all of Debian about 10
   * architectures of that. Each costs a capture 160 bytes of memory.
   */
  snapshotBlobs: 2_000_000,
  /**
   * Files as often as indices name them: `all` comes with every architecture. Each costs 5 µs, and
   * memory only the first time.
   */
  snapshotNamings: 4_000_000,
  /** Azure: at most 1,024 characters of blob name, `prefix/mount/path`, and 254 segments. */
  pathBytes: 800,
  mountBytes: 100,
  prefixBytes: 120,
  pathSegments: 120,
  /**
   * One pool file: the largest in bookworm has 1.54 GB; Azure: 50,000 blocks of 8 MiB are 390 GiB.
   */
  blobBytes: 64 * GiB,
  /**
   * The file that `debgeo apply` reads, in one transaction: 3,000 distributions with all that may
   * be said of each.
   */
  configurationBytes: 1 * MiB,
  /**
   * What a reference to a secret names: a certificate with its chain has some kilobytes, and a
   * server takes no header of more (8 to 16 KiB, all of them).
   */
  secretBytes: 64 * KiB,
  /** `ca` of an archive, which each look reads from the database: Debian's of all have 220 kB. */
  caBytes: 512 * KiB,
  /** A message quotes an error page up to here. */
  quotedCharacters: 200,
  /**
   * One text of an error (message, expected, found, state, stack) in a history, a row or a log
   * line: it explains the error and is not a page of it.
   */
  errorCharacters: 1_000,
  /** Lines of one such text, where debgeo lists faults of a file: more are a broken file. */
  errorLines: 100,
  /** One field of a log line that is no text (an argument of a signal), as JSON. */
  logFieldCharacters: 8_000,

  /**
   * A request that no byte moves on for this long is ended (reliability.md, fact 2: the SDK never
   * does).
   */
  stallMs: 30_000,
  /** Opening a connection and receiving the head of an answer. */
  answerMs: 30_000,
  /**
   * A token of an identity: a managed identity answers in less than a second, and @azure/identity
   * asks again for some seconds; below stallMs, whose error says less.
   */
  identityMs: 20_000,
  /** Anything that fetches a Release set or one index: a byte a second ends here. */
  fetchMs: 15 * 60_000,
  /** A body slower than this over a minute is a slow-retrieval attack or a dead line (TUF). */
  bytesPerSecondMin: 1 * KiB,
  redirects: 3,
  /** A Retry-After is heeded up to here; the lane's own backoff takes over beyond. */
  retryAfterMs: 60 * 60_000,

  /** Single Put Blob below, blocks of this size above; Azure allows 5,000 MiB, memory does not. */
  putBytes: 8 * MiB,
  /**
   * One claim of blobs that are to be copied: bounded statements. One batch is being copied while
   * the next one is claimed.
   */
  batchFiles: 200,
  batchBytes: 32 * MiB,
  /**
   * One commit of blobs that were copied: with those in flight, a killed worker has copied less
   * than a batch in vain.
   */
  bookFiles: 64,
  /**
   * Operations in flight at one site, of all its lanes: the width at the start, and the bounds
   * between which throughput finds the best one.
   */
  widthStart: 32,
  widthMin: 1,
  widthMax: 64,
  /** Blobs of one lane that wait for their bytes or for their turn at the site. */
  laneConcurrency: 64,
  /**
   * Bytes of blobs in memory between archives and sites, of a worker: each archive and site that
   * is busy has the same share of it, and at least one blob, so that one that trickles or takes
   * nothing holds up no other. Beyond eight of them it may be more for that reason.
   */
  memoryBytes: 64 * MiB,
  /** The most that one archive and site may have of it: two blocks, or many small blobs. */
  routeBytes: 16 * MiB,
  /** And so many blobs: as many requests of ours does an archive see for one site. */
  routeBlobs: 64,
  /**
   * An operation waits for a throttled site so long in memory; the lane waits longer, in the
   * database.
   */
  throttlePatienceMs: 5_000,
  archiveConcurrency: 8,
  /**
   * What a worker keeps on its disk of what it read for several sites; for a site that is further
   * behind it reads again. The files are unlinked: their space is free when the worker ends.
   */
  spoolBytes: 8 * GiB,
  /** Room is made by whole files of this size. */
  segmentBytes: 256 * MiB,
  /**
   * Bytes that are written to the spool at once, and that stay in memory then: lanes of one worker
   * are some hundred small blobs apart.
   */
  heldBytes: 4 * MiB,
  /**
   * Length of one sync or checksum activity: bounds how long a command waits and how many events a
   * large sync makes.
   */
  sliceMs: 20_000,
  /** How often a lane looks again for blobs that a lane of another distribution is copying. */
  claimPollMs: 200,
  /**
   * A plan that cannot reach the database answers after this, and is given again: a restart of the
   * server takes seconds, and each time is six events of a history.
   */
  databaseWaitMs: 5_000,
  /** Writes of one blob in a row that read back wrong: then something on the way changes it. */
  repairsMax: 3,
  /**
   * Conditional writes of one path in a row that were answered "something else is there" before
   * another program is the cause.
   */
  conflictsMax: 5,
  /**
   * What a probe reads of the indices and of the pool through the public URL. It shows that the
   * site is readable as apt reads it; checksum has read every byte.
   */
  probeIndices: 200,
  probeBytes: 64 * MiB,
  probePoolFiles: 16,
  /**
   * A published name that was deleted is looked at for so long: a worker that froze may still send
   * what it had begun to write there.
   */
  tombstoneMs: 24 * 60 * 60_000,
  /**
   * One object below `.debgeo/`: R has a Release set as base64, of which sid's are 0.6 MB. What is
   * longer was not written by debgeo, and is not read.
   */
  anchorBytes: 16 * MiB,
  /**
   * One segment of its name: two of them and a prefix stay far below the 1,024 characters of Azure.
   * What is longer is named by its digest.
   */
  anchorSegment: 150,
  /**
   * An H may know of so many more slices of prunes than the database: none is restored to so long
   * ago, and whoever may write to the site cannot bring the count to its end.
   */
  prunesLost: 1_000_000,
  /**
   * Releases that one adopt takes over of a suite, each with all that its indices name. A site
   * keeps those of a day and a half (graceMs): Debian's security archive has some ten in that time.
   */
  adoptedReleases: 100,
  /**
   * An archive signs up to so long behind Date: Debian takes hours for a stable release. A
   * signature whose key has expired since is judged as of then.
   */
  signingMs: 24 * 60 * 60_000,
  /** Index bytes kept in the database are stored in pieces of this size. */
  chunkBytes: 1 * MiB,

  /**
   * Debian keeps so long the files that a suite no longer names (dak, stayofexecution): the lists
   * of apt and unattended upgrades are a day old and more. Per site: `grace`.
   */
  graceMs: 36 * 60 * 60_000,
  /**
   * Generations that a site served and that prune keeps, whatever the clock of the database says: a
   * clock that jumps ends every grace at once. Per site: `keep`.
   */
  keptGenerations: 2,
  /** Per site: `prune`. */
  pruneIntervalMs: 60 * 60_000,
  /**
   * What one run of prune may delete at a site: as many as Debian's mirrors delete at once
   * (archvsync --max-delete); the rest waits for the next run.
   */
  pruneFiles: 40_000,
  /**
   * The same as a share of all that the site has: a mistake costs a fifth, and the next run comes
   * an hour later. The minimum lets a small site get rid of its files.
   */
  prunePercent: 20,
  pruneFilesMin: 200,
  /**
   * Rows of the catalog that one run deletes of an archive, each kind: a lock of a second at most.
   */
  pruneSnapshots: 50,
  pruneCatalogRows: 10_000,
  /**
   * What a site does not delete is asked for again so long after: policies of immutability and
   * legal holds last for days to years, and there may be as many files as the site has.
   */
  heldMs: 24 * 60 * 60_000,
  /**
   * Bytes of an index that no snapshot names are kept so long: a capture that began before may
   * still name them.
   */
  unusedIndexMs: 24 * 60 * 60_000,

  /**
   * All of a site is read back so often: a disk loses bytes in years, and reading costs money. Per
   * site: `scrub`.
   */
  scrubIntervalMs: 30 * 24 * 60 * 60_000,
  /**
   * A pass is to end within this part of the interval: then the last complete one is younger than
   * twice the interval also at the end of the next.
   */
  scrubPassPercent: 90,
  /** What one slice reads at most, beside `sliceMs`: a command waits no longer than for that. */
  scrubSliceFiles: 2_000,
  scrubSliceBytes: 256 * MiB,
  /** Requests of a scrub at a time: lanes have up to `widthMax` turns. */
  scrubConcurrency: 2,
  /** Of a site's `bytes_per_second`: the rest is for lanes, also while a scrub is behind. */
  scrubRatePercent: 50,
  /** What a request costs beside its bytes, where the work of a scrub is divided over time. */
  scrubRequestBytes: 32 * KiB,
  /**
   * What a scrub repairs itself, and could not while an archive was away, is tried again so soon.
   */
  scrubRepairMs: 10 * 60_000,
  /** Of the files of a pass so many are read through `public_url`, too, as a reader does. */
  scrubPublicPercent: 1,
  scrubPublicFiles: 200,

  /**
   * Sites that the Temporal UI names, and names in one search attribute: 20 names of 63 characters
   * are 1,321 bytes, and Temporal ends a run whose attribute has more than 2,048.
   */
  shownSites: 20,
  /** Names of sites, distributions and archives: configuration-schema.ts. */
  nameCharacters: 63,
  /**
   * Commands that a workflow keeps for sites whose lane has not opened: as many as a distribution
   * may have sites, far below the 2 MiB of an input.
   */
  earlyCommands: 1_000,
  /** Captures of one archive at a time, in one worker: each holds up to 160 bytes a blob. */
  capturesPerArchive: 4,

  /** Geo's cap for retries; unreachable sites are asked once an hour, for ever. */
  backoffCapMs: 60 * 60_000,
  /** What waits for a person tries again so soon, less up to `parkedSpreadMs`: a cheap attempt. */
  parkedMs: 60 * 60_000,
  parkedSpreadMs: 5 * 60_000,
  /**
   * An answer of its site wakes a lane not sooner after it failed there: what one lane may do at a
   * site, another may not, again and again.
   */
  wakeMs: 15 * 60_000,
  backoffInitialMs: 15_000,
} as const;
