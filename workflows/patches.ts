/**
 * Changes of commands, by the name under which `patched()` knows them. A run that began before one
 * of them goes on as it was recorded, and takes the change up with its next command. A name is
 * never used again; it goes (by `deprecatePatch`) when no open run is older.
 */
export const PATCHES = {
  /** Search attributes are capped, with counts beside them, once a second at most. */
  cappedAttributes: 'capped-attributes',
  /** A capture runs on the queue of its archive. */
  archiveQueues: 'archive-queues',
  /** A command for a site that has no lane yet waits for the roster that brings it. */
  earlyCommands: 'early-commands',
  /** A lane whose site has another queue now gives up what waits on the old one. */
  movedLanes: 'moved-lanes',
  /** Copying plans first, and publishing probes afterwards. */
  joinedSteps: 'joined-steps',
  /** Search attributes wait a second, and are not written for what is over by then. */
  quietAttributes: 'quiet-attributes',
  /** The workflow of a site scrubs it, too, slice by slice until its prune is due. */
  siteScrubs: 'site-scrubs',
  /** When the rows of a site are read again, the site is asked whether it is as they say. */
  confirmedSites: 'confirmed-sites',
} as const;
