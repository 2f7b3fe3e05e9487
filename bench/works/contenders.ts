/**
 * One round of a first sync by the floor and the peers, one after the other, each into a container
 * on an Azurite of its own.
 */
import type { Book } from '../book.ts';
import type { Corpus } from '../corpus.ts';
import { aptly, debmirrorAndRclone, missing, rclone, type Peer } from '../peers.ts';
import { runFloor } from '../run-floor.ts';
import type { Place } from '../testbed.ts';
import type { Bench } from '../work.ts';

export interface Copies {
  readonly archiveUrl: string;
  readonly places: Place[];
  readonly peers: Peer[];
  close(): Promise<void>;
}

/** The floor and the peers copy what the archive serves; later works build on these copies. */
export async function copyOnce(
  bench: Bench,
  round: number,
  work: string,
  corpus: Corpus,
  archiveUrl: string,
  peerNames: readonly string[],
): Promise<Copies> {
  const { testbed, book } = bench;
  const places = [await testbed.freshPlaceOf('floor')];
  await book.time(work, 'floor', round, () =>
    runFloor(testbed, 'copy', archiveUrl, corpus.files, places),
  );
  const peers: Peer[] = [];
  for (const name of bench.peers ? peerNames : []) {
    const lacking = missing(...name.split(' + '));
    if (lacking !== null) {
      book.skip(work, name, lacking);
      continue;
    }
    const place = await testbed.freshPlaceOf(name);
    places.push(place);
    const peer = await openPeer(bench, name, corpus, archiveUrl, place);
    peers.push(peer);
    await timePeer(book, work, round, peer);
  }
  return {
    archiveUrl,
    places,
    peers,
    async close() {
      for (const peer of peers) await peer.close();
      await Promise.all(places.map(({ container }) => container.delete()));
    },
  };
}

/** A peer that fails is booked as skipped, and the run goes on. */
export async function timePeer(book: Book, work: string, round: number, peer: Peer): Promise<void> {
  try {
    await book.time(work, peer.name, round, () => peer.copy());
  } catch (error) {
    book.skip(work, peer.name, `failed: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`);
  }
}

async function openPeer(
  { testbed }: Bench,
  name: string,
  corpus: Corpus,
  archiveUrl: string,
  place: Place,
): Promise<Peer> {
  if (name === 'rclone') return rclone(archiveUrl, place);
  if (name === 'aptly') return aptly(testbed, corpus, archiveUrl, place);
  return debmirrorAndRclone(testbed, corpus, archiveUrl, place);
}
