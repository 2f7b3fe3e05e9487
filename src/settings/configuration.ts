/**
 * The file that `debgeo apply` reads: archives, sites and distributions, as maps by name. Every
 * fault is reported at once, each with its line and column, and nothing is changed while there is
 * one.
 */
import { dirname, resolve } from 'node:path';

import { z } from 'zod';

import { LIMITS } from '../domain/limits.ts';
import { ConfigurationDocument } from './configuration-document.ts';
import { refusalOf, refused, type Fault } from './configuration-faults.ts';
import {
  completeArchives,
  completeDistributions,
  completeSites,
  type ArchiveConfiguration,
  type DistributionConfiguration,
  type Section,
  type SiteConfiguration,
} from './configuration-references.ts';
import { name, SECTIONS } from './configuration-schema.ts';
import { readBounded } from './read-bounded.ts';

export interface Configuration {
  readonly archives: Readonly<Record<string, ArchiveConfiguration>>;
  readonly sites: Readonly<Record<string, SiteConfiguration>>;
  readonly distributions: Readonly<Record<string, DistributionConfiguration>>;
}

const UNKNOWN_KEY = 'is not a key that debgeo knows';

/** @throws CONFIG_INVALID with one line per fault: `file:line:column path: what is expected` */
export function readConfiguration(path: string): Configuration {
  let text: string;
  try {
    text = readBounded(path, LIMITS.configurationBytes).toString('utf8');
  } catch (error) {
    const found = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw refused(`${path} cannot be read`, 'a YAML file', found, error);
  }
  return parseConfiguration(text, path);
}

/**
 * @param path for messages; keyrings are read from its folder
 * @throws CONFIG_INVALID as readConfiguration
 */
export function parseConfiguration(text: string, path: string): Configuration {
  if (text.length > LIMITS.configurationBytes)
    throw refused(
      `${path} is too long`,
      `at most ${LIMITS.configurationBytes} bytes: apply several files, one by one`,
      `${text.length} characters`,
    );
  const document = new ConfigurationDocument(text);
  const { faults } = document;
  if (faults.length === 0) {
    const configuration = readSections(document.value(), dirname(resolve(path)), faults);
    if (faults.length === 0) return configuration;
  }
  throw refusalOf(path, document, faults);
}

function readSections(root: unknown, folder: string, faults: Fault[]): Configuration {
  const found = z.record(z.string(), z.unknown()).safeParse(root);
  if (!found.success)
    faults.push({ path: [], message: 'expected archives, sites and distributions' });
  const given = found.data ?? {};
  for (const key of Object.keys(given))
    if (!Object.hasOwn(SECTIONS, key)) faults.push({ path: [key], message: UNKNOWN_KEY });
  const archives = readSection('archives', given, faults);
  const sites = readSection('sites', given, faults);
  const distributions = readSection('distributions', given, faults);
  const sections = [archives, sites, distributions];
  if (faults.length === 0 && sections.every(({ names }) => names.size === 0))
    faults.push({ path: [], message: 'names no archive, site or distribution' });
  return {
    archives: completeArchives(archives, folder, faults),
    sites: completeSites(sites, faults),
    distributions: completeDistributions(distributions, archives, sites, faults),
  };
}

/** Entry by entry, so that one that is wrong hides no fault of another. */
function readSection<S extends keyof typeof SECTIONS>(
  section: S,
  given: Readonly<Record<string, unknown>>,
  faults: Fault[],
): Section<z.output<(typeof SECTIONS)[S]>> {
  const found = z.record(z.string(), z.unknown()).safeParse(given[section] ?? {});
  if (!found.success) faults.push({ path: [section], message: 'expected a map by name' });
  const entries = new Map<string, z.output<(typeof SECTIONS)[S]>>();
  for (const [key, entry] of Object.entries(found.data ?? {})) {
    const named = name.safeParse(key);
    const parsed = SECTIONS[section].safeParse(entry);
    for (const issue of [...(named.error?.issues ?? []), ...(parsed.error?.issues ?? [])])
      faults.push(
        ...faultsOf(issue).map((fault) => ({ ...fault, path: [section, key, ...fault.path] })),
      );
    if (parsed.success) entries.set(key, parsed.data as z.output<(typeof SECTIONS)[S]>);
  }
  return { entries, names: new Set(Object.keys(found.data ?? {})) };
}

const faultsOf = (issue: z.core.$ZodIssue): Fault[] =>
  issue.code === 'unrecognized_keys'
    ? issue.keys.map((key) => ({ path: [...issue.path, key], message: UNKNOWN_KEY }))
    : [{ path: issue.path, message: issue.message }];
