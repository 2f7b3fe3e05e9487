import { openCorpus, type Corpus } from '../corpus.ts';
import { sizedName, type Bench } from '../work.ts';

/** As many as bookworm main has for amd64. */
const PACKAGES = 63_000;
/** Each changes 1 %; the work `memory` has a run for each. */
const RELEASES = 9;

/** Small packages: only their number matters. */
export function openManyPackages({ testbed, sized }: Bench): Promise<Corpus> {
  const made = sized(PACKAGES);
  const plan = {
    name: sizedName('many', made),
    packages: { made, bytes: [1_000, 1_400] },
    releases: RELEASES,
  } as const;
  return openCorpus(plan, testbed.say);
}
