import { openCorpus, type Corpus } from '../corpus.ts';
import { sizedName, type Bench } from '../work.ts';

/** As many as main of bookworm has for amd64. */
const PACKAGES = 63_000;
/** Each changes 1 %: the runs of the work `memory` behind the first. */
const RELEASES = 9;

/** Small ones: what counts here is how many there are. */
export function openManyPackages({ stage, sized }: Bench): Promise<Corpus> {
  const made = sized(PACKAGES);
  const plan = {
    name: sizedName('many', made),
    packages: { made, bytes: [1_000, 1_400] },
    releases: RELEASES,
  } as const;
  return openCorpus(plan, stage.say);
}
