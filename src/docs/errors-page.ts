/** docs/errors.md: every error code with its cause, what debgeo did, and what to do. */
import { RULES, ruleOf, type ErrorCode } from '../domain/errors.ts';
import { GENERATED, item, paragraph } from './markdown.ts';

const DID = {
  backoff: 'tries again by itself, ever slower, for ever',
  person: 'stops there until an operator acts; a replication that it parks tries again every hour',
  'at-once': 'takes the next step without waiting; the replication has not failed',
} as const;
const EXIT = {
  1: 'failed',
  2: 'usage',
  3: 'refused',
  4: 'unreachable',
  5: 'cancelled or paused',
} as const;

export const errorsPage = (): string => `# Errors

${GENERATED}

${paragraph(
  'Every refusal and failure has one of these codes: in what a command prints, in `debgeo' +
    " status`, in the log and in Temporal's UI. A command that ends with a code has the exit code" +
    ' given here. What a site serves stays as it is, unless the entry says otherwise. `debgeo' +
    ' retry DIST` makes a replication that waits try at once.',
)}

${(Object.keys(RULES) as ErrorCode[]).map(entryOf).join('\n\n')}
`;

function entryOf(code: ErrorCode): string {
  const { cause, then, exit, remedy } = ruleOf(code);
  return [
    `## ${code}`,
    '',
    item(`When: ${cause}.`),
    item(`debgeo: ${DID[then]}. Exit ${exit} (${EXIT[exit]}).`),
    item(`Do: ${remedy}.`),
  ].join('\n');
}
