/** Packages and Sources in the ways in which readers of control data differ from each other. */
import type { ErrorCode } from '../../../src/domain/errors.ts';
import { sha256Of } from '../../../src/domain/sha256.ts';

export interface IndexCase {
  readonly name: string;
  readonly index: Uint8Array;
  /** Paths that debgeo copies, as apt encodes them; null: it refuses the index. */
  readonly asks: readonly string[] | null;
  /** Why it refuses the index, INDEX_MALFORMED where it does not say. */
  readonly code?: ErrorCode;
  /** What apt asks for of an index that is refused; missing: it cannot read its lists at all. */
  readonly apt?: readonly string[];
}

const SHA256 = sha256Of(Buffer.from('a'));
const MD5 = '0123456789abcdef0123456789abcdef';
let stanzas = 0;

/** A stanza of a package that no other case has, and then lines of its own. */
function stanza(...lines: readonly string[]): string {
  stanzas += 1;
  const head = [`Package: p${stanzas}`, 'Version: 1.0', 'Architecture: amd64'];
  return [...head, 'Filename: good.deb', 'Size: 1', `SHA256: ${SHA256}`, ...lines, ''].join('\n');
}

const other = (): string => stanza().replace('good', 'other');
const good = ['good.deb'];
const both = ['good.deb', 'other.deb'];
const evil = ['evil.deb'];
const none: readonly string[] = [];

const packages: Readonly<Record<string, Omit<IndexCase, 'name' | 'index'> & { text: string }>> = {
  'one stanza': { text: stanza(), asks: good },
  'nothing at all': { text: '', asks: none },
  CRLF: { text: stanza().replaceAll('\n', '\r\n'), asks: good },
  'three empty lines between': { text: `${stanza()}\n\n\n${other()}`, asks: both },
  'CRLF in the empty line': { text: `${stanza()}\r\n${other()}`, asks: both },
  'empty lines at the end': { text: `${stanza()}\n\n\n`, asks: good },
  'no line end at the end': { text: stanza().trimEnd(), asks: good },
  'letters that are encoded': {
    text: stanza().replace('good', 'a+b~c%3ad'),
    asks: ['a%2bb%7ec%253ad.deb'],
  },
  'names in other cases': { text: stanza().replace('Filename', 'fILENAME'), asks: good },
  'tabs around a value': { text: stanza().replace('good.deb', '\tgood.deb \t'), asks: good },
  'a continuation of another field': {
    text: stanza('Description: x', ' Filename: evil.deb', '\tSize: 2'),
    asks: good,
  },
  'a line of blanks in another field': { text: stanza('X: y', ' \t', ' .'), asks: good },
  'a field without a value': { text: stanza('X:'), asks: good },
  'a name that begins with a dash': { text: stanza('-X: y'), asks: good },
  'a name that is longer': { text: stanza('Filenames: evil.deb', 'File: evil.deb'), asks: good },
  'a size with zeros': { text: stanza().replace('Size: 1', 'Size: 0001'), asks: good },

  // Names of fields.
  'a blank before the colon': { text: stanza('Filename : evil.deb'), asks: null, apt: evil },
  'a tab before the colon': { text: stanza('Filename\t: evil.deb'), asks: null, apt: evil },
  'VT before the colon': { text: stanza('Filename\v: evil.deb'), asks: null, apt: evil },
  'CR before the colon': { text: stanza('Filename\r: evil.deb'), asks: null, apt: evil },
  'a blank before the colon of another field': { text: stanza('X : y'), asks: null, apt: good },
  'a CR before the name': { text: stanza('\rFilename: evil.deb'), asks: null, apt: evil },
  'CRs before the name': { text: stanza('\r\rFilename: evil.deb'), asks: null, apt: evil },
  'VT before the name': { text: stanza('X: y', '\vFilename: evil.deb'), asks: null, apt: good },
  'FF before the name': { text: stanza('X: y', '\fFilename: evil.deb'), asks: null, apt: good },
  'a NUL in the name': { text: stanza('Filename\0: evil.deb'), asks: null, apt: good },
  'a NUL before the name': { text: stanza('\0Filename: evil.deb'), asks: null, apt: good },
  'a no-break space in the name': {
    text: stanza('Filename\u00a0: evil.deb'),
    asks: null,
    apt: good,
  },
  'a blank within the name': { text: stanza('File name: evil.deb'), asks: null, apt: good },
  'a comment': { text: stanza('#Filename: evil.deb'), asks: null, apt: good },
  'a line without a colon': { text: stanza('hello', 'X: y'), asks: null, apt: good },
  'a name of two lines': { text: stanza('Filename', ': evil.deb'), asks: null, apt: evil },
  'a line without a colon at the end': { text: stanza('hello'), asks: null },

  // Fields that stand twice.
  'Filename twice': { text: stanza('Filename: evil.deb'), asks: null, apt: evil },
  'Filename twice, alike': { text: stanza('Filename: good.deb'), asks: null, apt: good },
  'Filename twice, in another case': { text: stanza('FILENAME: evil.deb'), asks: null, apt: evil },
  'Package twice': { text: stanza('Package: q1'), asks: null, apt: good },

  // Values.
  'Filename in the next line': {
    text: stanza().replace('Filename: ', 'Filename:\n '),
    asks: null,
    apt: good,
  },
  'Filename of two lines': {
    text: stanza().replace('good.deb', 'good.deb\n evil.deb'),
    asks: null,
    apt: ['good.deb%0a%20evil.deb'],
  },
  'a line of blanks behind Filename': {
    text: stanza().replace('good.deb', 'good.deb\n \t'),
    asks: null,
    apt: good,
  },
  'VT behind Filename': {
    text: stanza().replace('good.deb', 'good.deb\v'),
    asks: null,
    code: 'HOSTILE_PATH',
    apt: good,
  },
  'a size with letters': { text: stanza().replace('Size: 1', 'Size: 1x'), asks: null, apt: good },
  'a size with a plus': { text: stanza().replace('Size: 1', 'Size: +1'), asks: null, apt: good },

  // Stanzas.
  'an empty line alone': { text: '\n', asks: null },
  'an empty line before the first stanza': { text: `\n${stanza()}`, asks: null, apt: good },
  'two empty lines before the first stanza': { text: `\n\n${stanza()}`, asks: null },
  'a byte order mark': { text: `\ufeff${stanza()}`, asks: null },
  'no Package': { text: stanza().replace(/Package: .*\n/, ''), asks: null },
  'an empty Package': { text: stanza().replace(/Package: .*\n/, 'Package:\n \n'), asks: null },
  'a continuation at the beginning': { text: ` x\n${stanza()}`, asks: null, apt: good },
  'CRs in the empty line': {
    text: `${stanza()}\r\r\n${other()}`,
    asks: null,
    apt: both,
  },
  'a stanza of a megabyte': {
    text: stanza(`X: ${'x'.repeat(1_000_000)}`),
    asks: good,
  },
  'a stanza that is longer than the buffer of apt': {
    text: stanza(`X: ${'x'.repeat(1_100_000)}`),
    asks: null,
    code: 'LIMIT_EXCEEDED',
  },
};

function source(...lines: readonly string[]): string {
  stanzas += 1;
  const head = [`Package: s${stanzas}`, 'Version: 1.0', 'Directory: pool'];
  const files = ['Files:', ` ${MD5} 1 a.dsc`, 'Checksums-Sha256:', ` ${SHA256} 1 a.dsc`];
  return [...head, ...files, ...lines, ''].join('\n');
}
const dsc = ['pool/a.dsc'];

const sources: typeof packages = {
  'one source': { text: source(), asks: dsc },
  'no Directory': { text: source().replace('Directory: pool\n', ''), asks: ['a.dsc'] },
  'a slash behind Directory': { text: source().replace('pool', 'pool/'), asks: dsc },
  'a blank before the colon of Directory': {
    text: source('Directory : evil'),
    asks: null,
    apt: ['evil/a.dsc'],
  },
  'Directory twice': { text: source('Directory: evil'), asks: null, apt: ['evil/a.dsc'] },
  'Directory in the next line': {
    text: source().replace('Directory: ', 'Directory:\n '),
    asks: null,
    code: 'HOSTILE_PATH',
    apt: dsc,
  },
};

const casesOf = (table: typeof packages): readonly IndexCase[] =>
  Object.entries(table).map(([name, { text, ...one }]) => ({
    name,
    index: Buffer.from(text),
    ...one,
  }));
export const packagesCases = casesOf(packages);
export const sourcesCases = casesOf(sources);
