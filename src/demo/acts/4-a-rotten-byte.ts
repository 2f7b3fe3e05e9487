import type { BinaryPackage } from '../../made-archive/deb-package.ts';
import { poolPathOf } from '../../made-archive/release-files.ts';
import { digest } from '../../witness/ask-as-apt.ts';
import type { OwnArchive } from '../own-archive.ts';
import { rotAndRepair, type Repair } from '../rot-and-repair.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'One byte rots at sin, inside the files of its storage.';

export async function play(stage: Stage, own: OwnArchive): Promise<Repair> {
  const victim = own
    .packages()
    .find((entry): entry is BinaryPackage => entry.kind === 'binary' && entry.name === 'harbour');
  hold(victim !== undefined, 'there is a package to rot');
  return rotAndRepair(stage, {
    path: poolPathOf(victim, victim.file.name),
    sha256: digest('sha256', victim.file.bytes),
  });
}
