/**
 * docs/configuration.md: the file that `debgeo apply` reads, from its schema, and the environment.
 */
import { z } from 'zod';

import { SECTIONS } from '../settings/configuration-schema.ts';
import { ENVIRONMENT } from '../settings/environment.ts';
import { GENERATED, paragraph, table } from './markdown.ts';

/** What z.toJSONSchema makes of a key, with the meta keys `form` and `unset` of ours. */
interface Key {
  readonly description?: string;
  readonly form?: string;
  readonly unset?: string;
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: string | number | boolean;
  readonly enum?: readonly (string | number | boolean)[];
  readonly items?: Key;
}

export const configurationPage = (): string => `# Configuration

${GENERATED}

## The file of \`debgeo apply\`

${paragraph(
  'YAML with three maps by name. A name has a-z, 0-9, dot and dash, begins with a letter or digit' +
    ' and has at most 63 characters. Unknown keys are refused. An entry that is left out of the' +
    ' file stays as it is: nothing is deleted.',
)}

${Object.entries(SECTIONS)
  .map(([name, schema]) => sectionOf(name, schema))
  .join('\n\n')}

## The environment

${paragraph(
  'An empty variable counts as unset. Invalid ones end a command before it begins, all named at' +
    ' once. Credentials of sites and logins of archives are read from the variables `DEBGEO_…`' +
    ' that they name, where the worker runs.',
)}

${table(
  ['variable', 'form', 'unset', 'meaning'],
  Object.entries(ENVIRONMENT).map(([name, { form, unset, meaning }]) => [
    `\`${name}\``,
    form,
    unset,
    meaning,
  ]),
)}
`;

function sectionOf(name: string, schema: z.ZodObject): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' });
  const rows = Object.entries(properties).map(([key, value]) => {
    const { description, ...rest } = value as Key;
    if (description === undefined) throw new Error(`${name}.${key} has no description`);
    return [
      `\`${key}\``,
      formOf(rest, `${name}.${key}`),
      required.includes(key) ? 'required' : unsetOf(rest),
      description,
    ];
  });
  return `### ${name}\n\n${table(['key', 'form', 'default', 'meaning'], rows)}`;
}

function formOf(key: Key, place: string): string {
  if (key.items !== undefined) return `list: ${formOf(key.items, place)}`;
  if (key.form !== undefined) return key.form;
  if (key.enum !== undefined) return key.enum.map((value) => `\`${value}\``).join(' or ');
  if (key.const !== undefined) return `\`${key.const}\``;
  if (key.type === 'boolean') return '`true` or `false`';
  throw new Error(`${place} has no form`);
}

const unsetOf = (key: Key): string =>
  key.unset ?? (key.default === undefined ? 'none' : `\`${JSON.stringify(key.default)}\``);
