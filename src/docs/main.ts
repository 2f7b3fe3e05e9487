/** `npm run docs`: writes the pages that are made from the source. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { PAGES } from './pages.ts';

for (const [path, page] of Object.entries(PAGES)) {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, page());
  process.stdout.write(`wrote ${path}\n`);
}
