/**
 * `node src/worker/bundle-workflows.ts FILE`: bundles workflows/index.ts for workers, in a process
 * of its own (workflow-bundle.ts says why).
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

import { DATA_CONVERTER } from '../temporal/connection.ts';

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
  ...DATA_CONVERTER,
  logger: new DefaultLogger('WARN'),
  webpackConfigHook: (config) => ({ ...config, devtool: 'inline-nosources-source-map' }),
});
await writeFile(process.argv[2]!, code);
