/** Which entries of a Release belong to a selection of components and architectures. */
import { DebgeoError } from './errors.ts';
import type { Release, ReleaseEntry } from './release.ts';
import type { Selection } from './snapshot.ts';
import { quoted } from './text.ts';

/**
 * The entries that a client of the selected components and architectures might ask for. Empty lists
 * select everything.
 *
 * - Component: the entry belongs to the component whose folder its path begins with; with
 *   `updates/main` in Components that is `updates/main/` or, as in Debian's security archive,
 *   `main/` (apt compares the whole and the part after the last slash; both may be selected). The
 *   longest folder wins: `stable/v17/` is not of `stable`. What belongs to no component that
 *   Release names (top-level Contents, …) stays in.
 * - Architecture: the one that is named by a folder `binary-ARCH` or `installer-ARCH`
 *   (debian-installer's too), a folder `source`, or a name `Contents-ARCH`, `Contents-udeb-ARCH`,
 *   `Components-ARCH` (dep11), `Commands-ARCH` (cnf), compressed, as `.diff/Index` or plain. `all`
 *   comes with every selected architecture, `source` only when selected: it counts as an
 *   architecture, as in dak. What belongs to none (i18n, icons) stays in.
 *
 * @throws SELECTION_UNKNOWN a selected component or architecture that Release neither names nor has
 *   an entry of
 */
export function selectEntries(release: Release, selection: Selection): ReleaseEntry[] {
  const entries = [...release.entries.values()];
  const folders = foldersOf(release.components);
  const components = selectComponents(release, selection.components);
  const architectures = selectArchitectures(release, entries, selection.architectures);

  return entries.filter((entry) => {
    const owners = componentsOf(entry.path, folders);
    if (components !== null && owners.length > 0 && !owners.some((owner) => components.has(owner)))
      return false;
    const architecture = architectureOf(entry.path);
    return architectures === null || architecture === null || architectures.has(architecture);
  });
}

function selectComponents(
  release: Release,
  selected: readonly string[],
): ReadonlySet<string> | null {
  if (selected.length === 0) return null;
  const chosen = new Set<string>();
  for (const wanted of selected) {
    const named = release.components.filter(
      (component) => component === wanted || lastPart(component) === wanted,
    );
    if (named.length === 0) throw unknown('component', wanted, release.components);
    for (const component of named) chosen.add(component);
  }
  return chosen;
}

/**
 * By folder, the components that it may belong to: the whole name, and the part after the last
 * slash.
 */
function foldersOf(components: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const folders = new Map<string, string[]>();
  for (const component of components) {
    for (const folder of new Set([component, lastPart(component)])) {
      const owners = folders.get(folder);
      if (owners === undefined) folders.set(folder, [component]);
      else owners.push(component);
    }
  }
  return folders;
}

function componentsOf(
  path: string,
  folders: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const owners = folders.get(path.slice(0, end));
    if (owners !== undefined) return owners;
  }
  return [];
}

const lastPart = (component: string): string => component.slice(component.lastIndexOf('/') + 1);

function selectArchitectures(
  release: Release,
  entries: readonly ReleaseEntry[],
  selected: readonly string[],
): ReadonlySet<string> | null {
  if (selected.length === 0) return null;
  const known = new Set(release.architectures);
  for (const entry of entries) {
    const architecture = architectureOf(entry.path);
    if (architecture !== null) known.add(architecture);
  }
  for (const wanted of selected)
    if (!known.has(wanted)) throw unknown('architecture', wanted, [...known]);

  const chosen = new Set(selected);
  if (selected.some((architecture) => architecture !== 'source')) chosen.add('all');
  return chosen;
}

function architectureOf(path: string): string | null {
  const segments = path.split('/');
  for (const segment of segments.slice(0, -1)) {
    const folder = /^(?:binary|installer)-(.+)$/.exec(segment);
    if (folder?.[1] !== undefined) return folder[1];
    if (segment === 'source') return 'source';
  }
  for (const segment of segments) {
    const name = /^(?:Contents-(?:udeb-)?|Components-|Commands-)([^.]+)/.exec(segment);
    if (name?.[1] !== undefined) return name[1];
  }
  return null;
}

function unknown(kind: string, wanted: string, named: readonly string[]): DebgeoError {
  return new DebgeoError('SELECTION_UNKNOWN', `Release does not name the ${kind} ${wanted}`, {
    expected: quoted(named.join(' ')),
    found: wanted,
  });
}
