/**
 * The replay gate. A run that is open when a worker is deployed is replayed by the new code: where
 * the code decides otherwise than the history says, every workflow task of the run fails. So each
 * committed history (recorded by test/support/record-histories.ts, never by a test) must replay.
 * Beside each stands a change that an engineer might make and that its replay must refuse: else the
 * history guards nothing.
 *
 * When the first test fails, put the change of commands behind `patched()`.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';

import { workflowId } from '../../workflows/messages.ts';
import {
  bundleOf,
  changeWorkflows,
  converterOf,
  folderWithPackages,
  ROOT,
  type WorkflowChange,
} from '../support/changed-workflows.ts';

const HISTORIES = join(ROOT, 'test/histories');

interface Change extends WorkflowChange {
  readonly history: string;
  readonly change: string;
}

const change = (history: string, what: string, file: string, from: string, to: string): Change => ({
  history,
  change: what,
  file: `workflows/${file}.ts`,
  from,
  to,
});

const CHANGES: readonly Change[] = [
  change(
    'capture',
    'does not look while there is no site',
    'distribution',
    'if (run.closing || run.roster!.removed) return;',
    'if (run.closing || run.lanes.size === 0) return;',
  ),
  change('unchanged-poll', 'never polls', 'distribution', 'run.roster!.nextLookAt,', 'null,'),
  change(
    'capture-failure',
    'does not record a refusal',
    'distribution',
    'if (!(error instanceof ActivityFailure)) throw error;',
    'if (error instanceof ActivityFailure) return void (run.lookWanted = true);',
  ),
  change(
    'burst',
    'does not gather a burst',
    'distribution',
    'notBefore = Date.now() + run.roster!.tuning.gatherMs;',
    '',
  ),
  change(
    'chain',
    'does not plan',
    'activity-options',
    "export const STEPS = [ 'planSync',",
    'export const STEPS = [',
  ),
  change(
    'chain',
    'joins steps of a run that began before they were joined',
    'site-lane',
    'const isJoined = patched(PATCHES.joinedSteps);',
    'const isJoined = PATCHES !== null;',
  ),
  change(
    'chain',
    'takes the first slice for the last',
    'site-lane',
    'if (answer.more) continue;',
    '',
  ),
  change(
    'chain',
    'does not read back',
    'activity-options',
    "'syncBlobs', 'checksumBlobs',",
    "'syncBlobs',",
  ),
  change(
    'chain',
    'publishes before judging',
    'activity-options',
    "'verifySnapshot', 'publishSnapshot'",
    "'publishSnapshot', 'verifySnapshot'",
  ),
  change(
    'chain',
    'does not publish',
    'activity-options',
    "'publishSnapshot', 'probeSite'",
    "'probeSite'",
  ),
  change(
    'chain',
    'does not probe',
    'activity-options',
    "'publishSnapshot', 'probeSite'",
    "'publishSnapshot'",
  ),
  change(
    'chain',
    'sets no search attributes',
    'display',
    'shown = all; upsertSearchAttributes([',
    'shown = all; void ([',
  ),
  change(
    'joined-steps',
    'plans in a step of its own',
    'activity-options',
    "step !== 'planSync' && step !== 'probeSite'",
    "step !== 'probeSite'",
  ),
  change(
    'joined-steps',
    'probes in a step of its own',
    'activity-options',
    "step !== 'planSync' && step !== 'probeSite'",
    "step !== 'planSync'",
  ),
  change(
    'joined-steps',
    'does not read back',
    'activity-options',
    "'syncBlobs', 'checksumBlobs',",
    "'syncBlobs',",
  ),
  change(
    'joined-steps',
    'does not judge before publishing',
    'activity-options',
    "'verifySnapshot', 'publishSnapshot'",
    "'publishSnapshot'",
  ),
  change(
    'joined-steps',
    'does not repair',
    'site-lane',
    "step = bad > 0 ? 'syncBlobs' : ",
    'step = ',
  ),
  change(
    'failure',
    'has no backoff timer',
    'site-lane',
    'const deadline = isBehind(seen) ? seen.retryAt : null;',
    'const deadline = null;',
  ),
  change(
    'retry',
    'only looks at the archive on retry',
    'commands',
    "command: { want: 'retry' }",
    'command: null',
  ),
  change(
    'cancel',
    'lets the slice end on cancel',
    'receive-signals',
    "if (command.want === 'cancel' && !lane.row.publishing) lane.work?.cancel();",
    '',
  ),
  change(
    'pause-resume',
    'stops bytes on pause',
    'receive-signals',
    "if (command.want === 'cancel' && !lane.row.publishing) lane.work?.cancel();",
    'if (command.want === undefined) lane.work?.cancel();',
  ),
  change(
    'pause-resume',
    'does not resume',
    'commands',
    'command: { paused: false }',
    'command: null',
  ),
  change('verify', 'ignores verify', 'commands', 'command: { verify: true }', 'command: null'),
  change('verify', 'does not repair', 'site-lane', "step = bad > 0 ? 'syncBlobs' : ", 'step = '),
  change(
    'look',
    'answers a look before its capture',
    'distribution',
    'await condition(() => run.looksAnswered >= ticket || run.closed);',
    '',
  ),
  change(
    'site-leaves',
    'lets a site that left work on',
    'distribution',
    'lane.ending = true; lane.work?.cancel();',
    'lane.ending = true;',
  ),
  change(
    'continue-as-new',
    'never continues as new',
    'distribution',
    'workflowInfo().historyLength > run.roster!.tuning.historyEventsMax',
    'false',
  ),
  change(
    'carried',
    'forgets commands that were carried over',
    'distribution',
    'takeEarly(run.early, row.site)',
    'null',
  ),
  change(
    'prune',
    'takes the first slice for the last',
    'site',
    '({ more } = slice);',
    'more = false;',
  ),
  change(
    'prune',
    'does not prune the catalog',
    'site',
    `show(
      run,
      await steps.pruneCatalog.executeWithOptions(
        { summary: 'delete from the catalog what no site needs' },
        [input()],
      ),
    );`,
    '',
  ),
  change(
    'prune-failure',
    'does not record that a prune failed',
    'site',
    'bookkeeping.recordPruneFailure.executeWithOptions(',
    '((..._: unknown[]) => Promise.resolve(run.row!))(',
  ),
  change(
    'prune',
    'scrubs in a run that began before there was a scrub',
    'site',
    'if (patched(PATCHES.siteScrubs)) return scrubUntilPrune(run);',
    'if (PATCHES !== null) return scrubUntilPrune(run);',
  ),
  change(
    'scrub',
    'tells no distribution of rot',
    'site-scrub',
    'for (const distribution of rotten) await tell(distribution);',
    'void [rotten, tell];',
  ),
  change(
    'scrub',
    'prunes before the pass has ended',
    'site-scrub',
    'if (isScrubDue(run)) await scrubOnce(run);',
    'if (isScrubDue(run) && turns === 0) await scrubOnce(run);',
  ),
  change(
    'scrub-failure',
    'does not record that a slice failed',
    'site-scrub',
    'bookkeeping.recordScrubFailure.executeWithOptions(',
    '((..._: unknown[]) => Promise.resolve(run.scrub!))(',
  ),
  change(
    'site-changed',
    'confirms a site in a run that began before it did',
    'site-scrub',
    'run.row!.enabled && patched(PATCHES.confirmedSites)',
    'run.row!.enabled && PATCHES !== null',
  ),
  change(
    'confirmed-site',
    'believes the rows of a site that it reads again',
    'site-scrub',
    'await confirm(run);',
    'void confirm;',
  ),
  change(
    'refused-record',
    'does not record the bare code of a report that PostgreSQL refuses',
    'record',
    "for (const one of [report, { code, message: 'what it said could not be stored' }])",
    'for (const one of [report])',
  ),
  change(
    'capped-attributes',
    'shows every change at once',
    'display',
    '(!isQuiet && notBefore <= Date.now())',
    '!isQuiet',
  ),
  change(
    'quiet-attributes',
    'shows what is over before it is shown',
    'display',
    'waiting?.cancel();',
    '',
  ),
  change(
    'capped-attributes',
    'looks at every archive on the queue of the workflow',
    'distribution',
    'const queue = patched(PATCHES.archiveQueues) ? run.roster!.archive?.queue : undefined;',
    'const queue = undefined;',
  ),
  change(
    'early-command',
    'drops a command for a site that has no lane yet',
    'receive-signals',
    'keepForSite(run.early, site, command);',
    '',
  ),
  change(
    'unreadable',
    'takes an argument that cannot be read for all sites',
    'commands',
    "return keys.length === 1 && typeof site === 'string' ? { name: site } : 'malformed';",
    "return keys.length === 1 && typeof site === 'string' ? { name: site } : 'all';",
  ),
  change(
    'moved-lane',
    'waits on the queue that its site has left',
    'distribution',
    'if (isMoved && patched(PATCHES.movedLanes)) lane.work?.cancel();',
    '',
  ),
  change(
    'removal',
    'continues as new when removed',
    'distribution',
    'if (run.roster?.removed && !run.lookWanted) return;',
    '',
  ),
];

let folder: string;
let histories: Map<string, object>;

before(async () => {
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
  });
  const files = (await readdir(HISTORIES)).filter((file) => file.endsWith('.json'));
  histories = new Map(
    await Promise.all(
      files.map(
        async (file) =>
          [
            file.slice(0, -'.json'.length),
            JSON.parse(await readFile(join(HISTORIES, file), 'utf8')),
          ] as const,
      ),
    ),
  );
  folder = await folderWithPackages();
});
after(() => rm(folder, { recursive: true, force: true }));

/** Names of the histories that the workflows in a folder do not replay. */
async function broken(root: string, names: readonly string[]): Promise<string[]> {
  const replayed = Worker.runReplayHistories(
    { workflowBundle: await bundleOf(root), dataConverter: converterOf(root) },
    names.map((name) => ({ workflowId: workflowId(name), history: histories.get(name)! })),
  );
  const failed: string[] = [];
  for await (const { error, workflowId: id } of replayed) {
    if (error === undefined) continue;
    // Commands that the history contradicts are a DeterminismViolationError, or fatal for the SDK's
    // machines. A crash of our code guards nothing.
    const contradicted =
      error instanceof DeterminismViolationError || error.message.includes('workflow machines');
    if (!contradicted) throw error;
    failed.push(id.slice(workflowId('').length));
  }
  return failed;
}

test('every committed history replays', async () => {
  assert.notEqual(histories.size, 0);

  assert.deepEqual(await broken(ROOT, [...histories.keys()]), []);
});

test('every committed history guards against at least one change', () => {
  assert.deepEqual(
    [...new Set(CHANGES.map(({ history }) => history))].sort(),
    [...histories.keys()].sort(),
  );
});

for (const [index, { history, change: what, ...changed }] of CHANGES.entries())
  test(`a workflow that ${what} does not replay the history ${history}`, async () => {
    const root = join(folder, String(index));
    await changeWorkflows(root, changed);

    assert.deepEqual(await broken(root, [history]), [history]);
  });
