import { createSigningKey } from '../../made-archive/signing-key.ts';
import { makePackage } from '../demo-packages.ts';
import { DISTRIBUTION, fetchEverything, servedBy, type OwnArchive } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'Somebody signs a release with another key.';

/** debgeo's exit code for a refusal: signature, rollback, expiry, hostile path. */
const REFUSED = 3;

/** The package that is new in the archive's last release. */
export const NEWCOMER = 'newcomer';

export interface Refusal {
  readonly forgeriesRefused: number;
}

export async function play(stage: Stage, own: OwnArchive): Promise<Refusal> {
  const before = await Promise.all(stage.sites.map((site) => servedBy(site)));
  const { generation } = await stage.status();
  const forger = await createSigningKey('somebody else');
  await own.signed.release([...own.packages(), makePackage('trojan', 1)], { key: forger });
  stage.say(
    `the archive now serves a distribution with another package, signed by ${forger.fingerprint}`,
  );

  const updated = await stage.debgeo(['update', DISTRIBUTION, '--wait']);

  hold(updated.exitCode === REFUSED, `the forgery is refused with exit code ${REFUSED}`);
  const after = await Promise.all(stage.sites.map((site) => servedBy(site)));
  const status = await stage.status();
  hold(status.failure?.code === 'SIGNATURE_UNKNOWN_KEY', 'status says why');
  hold(
    status.generation === generation && before.join() === after.join(),
    'no site serves anything else than before',
  );
  for (const site of stage.sites) await fetchEverything(stage, own, site);
  stage.say(`refused; ${stage.clientName} still fetches generation ${generation} from both sites`);

  await own.release([...own.packages(), makePackage(NEWCOMER, 1)]);
  stage.say(`the archive is itself again, and releases a package that it never had: ${NEWCOMER}`);
  const repaired = await stage.debgeo(['update', DISTRIBUTION, '--wait']);
  hold(repaired.exitCode === 0, 'the next good release reaches both sites');
  return { forgeriesRefused: 1 };
}
