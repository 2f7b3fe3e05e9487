/** The Markdown of generated pages: lines of at most 100 columns, but for tables. */
const COLUMNS = 100;

export const GENERATED = '<!-- Written by `npm run docs`: change the source, not this file. -->';

/** A table. A bar in a cell would end it, and is escaped. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');

export const paragraph = (text: string): string => wrapped(text, '');

export const item = (text: string): string => wrapped(`- ${text}`, '  ');

/** `code` is kept on one line: readers copy it. */
function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(/(?:`[^`]*`|[^\s`])+/g) ?? []) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (longer.length <= COLUMNS) line = longer;
    else {
      lines.push(line);
      line = `${indent}${word}`;
    }
  }
  return [...lines, line].join('\n');
}
