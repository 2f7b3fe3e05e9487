import { Archive } from './archive.ts';
import { DebianDistribution } from './debian-distribution.ts';
import { DistributionEvent } from './distribution-event.ts';
import { DistributionReplication } from './distribution-replication.ts';
import { DistributionSnapshot } from './distribution-snapshot.ts';
import { Incident } from './incident.ts';
import { OlderAcceptance } from './older-acceptance.ts';
import { Prune } from './prune.ts';
import { Publication } from './publication.ts';
import { ReplicationSite } from './replication-site.ts';
import { Scrub } from './scrub.ts';

/** The control plane. Paths, blobs, members and the registry are plain rows of set-based SQL. */
export const ENTITIES = [
  Archive,
  ReplicationSite,
  DebianDistribution,
  DistributionSnapshot,
  DistributionReplication,
  Publication,
  Prune,
  Scrub,
  Incident,
  DistributionEvent,
  OlderAcceptance,
];
