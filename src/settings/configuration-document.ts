/**
 * The YAML of the file that `debgeo apply` reads: what of YAML it may use, and where each part of
 * it stands. What a key costs does not depend on how many there are.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Alias,
  type ParsedNode,
  type YAMLMap,
} from 'yaml';

import type { Fault } from './configuration-faults.ts';

/** Deeper than any key that debgeo knows; what is nested deeper is no configuration. */
const DEPTH_MAX = 8;

type Path = readonly PropertyKey[];

export class ConfigurationDocument {
  readonly faults: Fault[];
  readonly #lines = new LineCounter();
  readonly #document;
  /** Where values and keys begin, by path. */
  readonly #offsets = new Map<string, number>();
  /** By anchor: whether what it stands for has aliases itself. Set where that has ended. */
  readonly #anchors = new Map<string, boolean>();
  #aliases = 0;

  constructor(text: string) {
    this.#document = parseDocument<ParsedNode>(text, {
      lineCounter: this.#lines,
      stringKeys: true,
      uniqueKeys: false, // it compares each key with all before; #readMap does not
    });
    this.faults = this.#document.errors.map((error) => ({
      path: [],
      message: error.message.split('\n')[0] ?? 'broken YAML',
      offset: error.pos[0],
    }));
    if (this.faults.length === 0) this.#read(this.#document.contents, []);
  }

  /** Only without faults: aliases are bounded by what is refused, maps have plain keys. */
  value(): unknown {
    return this.#document.toJS({ maxAliasCount: -1 });
  }

  /**
   * Of the value (or key) at the path; of a missing one, where the map begins that should have it.
   * Both from 1.
   */
  placeOf({ path, offset }: Fault): { line: number; col: number } {
    return this.#lines.linePos(offset ?? this.#offsetOf(path));
  }

  #offsetOf(path: Path): number {
    for (let depth = path.length; depth > 0; depth--) {
      const offset = this.#offsets.get(keyOf(path.slice(0, depth)));
      if (offset !== undefined) return offset;
    }
    return 0;
  }

  #read(node: ParsedNode | null, path: Path): void {
    if (node === null) return;
    if (path.length > DEPTH_MAX) return this.#refuse(path, 'is nested too deep');
    const aliases = this.#aliases;
    if (isAlias(node)) this.#readAlias(node, path);
    else if (isMap(node)) this.#readMap(node, path);
    else if (isSeq(node))
      for (const [index, item] of node.items.entries())
        this.#readPart(item, item, [...path, index]);
    if (!isAlias(node) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, this.#aliases > aliases);
  }

  #readMap(map: YAMLMap.Parsed, path: Path): void {
    const keys = new Set<string>();
    for (const { key, value } of map.items) {
      const name = isScalar(key) ? String(key.value) : '';
      const at = [...path, name];
      if (keys.has(name))
        this.faults.push({ path: at, message: 'stands here twice', offset: key.range[0] });
      keys.add(name);
      this.#readPart(key, value, at);
      // a map is read into an object, where these are there already or are dropped
      if (name in Object.prototype) this.#refuse(at, 'is a name of JavaScript, and no key here');
    }
  }

  #readPart(place: ParsedNode, value: ParsedNode | null, path: Path): void {
    this.#offsets.set(keyOf(path), place.range[0]);
    this.#read(value, path);
  }

  /** Aliases of aliases make a file of a hundred bytes as large as memory ("billion laughs"). */
  #readAlias({ source }: Alias, path: Path): void {
    this.#aliases += 1;
    const hasAliases = this.#anchors.get(source);
    if (hasAliases === undefined) this.#refuse(path, `*${source} has no &${source} before it`);
    if (hasAliases) this.#refuse(path, `&${source} has aliases itself: write it out`);
  }

  #refuse(path: Path, message: string): void {
    this.faults.push({ path, message });
  }
}

const keyOf = (path: Path): string => JSON.stringify(path.map(String));
