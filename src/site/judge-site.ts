/** What a container and its account mean for copies of an archive: faults, notes, and one line. */
import type { ErrorReport } from '../domain/errors.ts';
import type { AzureSite } from './azure-container.ts';
import type { Seen, SiteFacts } from './inspect-site.ts';

type Place = Pick<AzureSite, 'accountUrl' | 'container' | 'prefix'>;
/** What was seen of one of the facts. */
type SeenOf<Fact extends keyof SiteFacts> = Extract<SiteFacts[Fact], { seen: unknown }>['seen'];

export interface SiteJudgement {
  /** With this, debgeo cannot do its work. */
  readonly wrong: readonly ErrorReport[];
  /** What costs money or time, or could not be seen; with what to do. */
  readonly notes: readonly string[];
  /** One line of what is there. */
  readonly summary: string;
}

export function judgeSite(place: Place, facts: SiteFacts): SiteJudgement {
  const findings = new Findings(place);
  findings.judge('account', facts.account, judgeAccount);
  findings.judge('container', facts.container, judgeContainer);
  findings.judge('soft delete', facts.service, judgeService);
  findings.judge('blob', facts.blob, judgeBlob);
  findings.notes.push(
    `lifecycle and tiering rules are not seen from here: \`az storage account management-policy ` +
      `show --account-name ${findings.account} --resource-group GROUP\`; none may delete or ` +
      `archive below ${place.container}/${place.prefix === '' ? '' : `${place.prefix}/`}`,
  );
  const { wrong, notes, summary } = findings;
  return { wrong, notes, summary: summary.join('; ') };
}

/** What the four judges below have found so far. */
class Findings {
  readonly wrong: ErrorReport[] = [];
  readonly notes: string[] = [];
  readonly summary: string[] = [];
  readonly account: string;
  readonly container: string;

  constructor({ accountUrl, container }: Place) {
    this.account = accountNameOf(accountUrl);
    this.container = container;
  }

  refuse(message: string, expected: string, found: string): void {
    this.wrong.push({ code: 'SITE_REFUSED', message, expected, found });
  }

  judge<T>(what: string, fact: Seen<T>, judge: (seen: T, findings: Findings) => void): void {
    if ('seen' in fact) judge(fact.seen, this);
    else
      this.notes.push(
        `${what}: not seen (${fact.notSeen}); the credential may not ask, which is no fault`,
      );
  }
}

function judgeAccount({ kind, sku, hierarchical }: SeenOf<'account'>, findings: Findings): void {
  findings.summary.push(`${kind} ${sku}`.trim());
  if (kind === 'FileStorage')
    findings.refuse('an account of this kind has no blobs', 'StorageV2 or BlockBlobStorage', kind);
  if (hierarchical)
    findings.notes.push(
      'hierarchical namespace is on: debgeo is not tried with it; an account without it is the ' +
        'safe choice',
    );
}

function judgeContainer(seen: SeenOf<'container'>, findings: Findings): void {
  const { account, container, notes } = findings;
  const of = `--account-name ${account} --container-name ${container}`;
  findings.summary.push(
    seen.publicAccess === null
      ? 'no anonymous read by itself'
      : `anonymous read: ${seen.publicAccess}`,
  );
  if (seen.publicAccess === 'container')
    notes.push(
      `anybody may list it; \`az storage container set-permission --account-name ${account} ` +
        `--name ${container} --public-access blob\` is enough for apt`,
    );
  if (seen.immutabilityPolicy)
    findings.refuse(
      'the container has an immutability policy: published names cannot be replaced',
      `no policy: az storage container immutability-policy delete ${of} --if-match "*"; or ` +
        'another container',
      'x-ms-has-immutability-policy: true',
    );
  if (seen.legalHold)
    findings.refuse(
      'the container has a legal hold: published names cannot be replaced',
      `no hold: az storage container legal-hold clear ${of} --tags TAG; or another container`,
      'x-ms-has-legal-hold: true',
    );
  if (seen.versionLevelImmutability)
    notes.push(
      'immutability of versions is possible here: a default policy would keep every replaced ' +
        'InRelease, and forbid to delete',
    );
}

function judgeService({ softDeleteDays }: SeenOf<'service'>, findings: Findings): void {
  if (softDeleteDays === null) {
    findings.summary.push('no soft delete');
    return;
  }
  findings.summary.push(`soft delete ${softDeleteDays} d`);
  findings.notes.push(
    `soft delete keeps what is deleted or replaced for ${softDeleteDays} days, and bills it: ` +
      '`az storage blob service-properties delete-policy update --account-name ' +
      `${findings.account} --enable false\`, unless you want that`,
  );
}

function judgeBlob(seen: SeenOf<'blob'>, findings: Findings): void {
  const { versionId, tier, immutableUntil, legalHold } = seen;
  const { account, notes } = findings;
  const versioning = versionId === null ? 'no versioning' : 'versioning';
  findings.summary.push(tier === null ? versioning : `${versioning}, tier ${tier}`);
  if (versionId !== null)
    notes.push(
      'versioning keeps every replaced and deleted blob, and bills it: `az storage account ' +
        `blob-service-properties update --account-name ${account} --enable-versioning false\`, ` +
        'or a lifecycle rule that deletes old versions',
    );
  if (tier === 'Archive')
    findings.refuse(
      'what is written goes to the archive tier and cannot be read',
      'access tier Hot',
      tier,
    );
  else if (tier === 'Cool' || tier === 'Cold')
    notes.push(
      `tier ${tier} bills every read, and what is deleted early: \`az storage account update ` +
        `--name ${account} --access-tier Hot\` where clients read much`,
    );
  if (immutableUntil !== null)
    findings.refuse(
      'what is written cannot be replaced or deleted for a while',
      'no default immutability policy on container and account',
      new Date(immutableUntil).toISOString(),
    );
  if (legalHold)
    findings.refuse('what is written is under a legal hold', 'no hold', 'x-ms-legal-hold: true');
}

/** `https://NAME.blob.…` in Azure, the first folder at an emulator. */
function accountNameOf(accountUrl: string): string {
  const { hostname, pathname } = new URL(accountUrl);
  return hostname.split('.')[1] === 'blob'
    ? hostname.split('.')[0]!
    : pathname.split('/')[1] || hostname;
}
