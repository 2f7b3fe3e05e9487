/** The pages that are made from the source, by their path from the root of the project. */
import { configurationPage } from './configuration-page.ts';
import { errorsPage } from './errors-page.ts';

export const PAGES: Readonly<Record<string, () => string>> = {
  'docs/errors.md': errorsPage,
  'docs/configuration.md': configurationPage,
};
