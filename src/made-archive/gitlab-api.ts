/**
 * What operators and jobs ask of a GitLab with curl: distributions are created, shown and generated
 * anew, their keys handed out (`lib/api/concerns/packages/debian_distribution_endpoints.rb`),
 * packages uploaded (`lib/api/debian_project_packages.rb`) and deleted
 * (`DELETE /projects/:id/packages/:package_id`), deploy tokens made (`lib/api/deploy_tokens.rb`).
 */
import type { DebianDistribution } from './gitlab-distribution.ts';
import { NO_CONTENT, NOT_FOUND, type FoundText, type NotFound } from './gitlab-files.ts';
import type { Container, GitLabRegistry } from './gitlab-registry.ts';
import { readBinaryPackage } from './read-package.ts';

export interface ApiRequest {
  readonly method: string;
  /** `packages`, `packages/debian`, `debian_distributions` or `deploy_tokens`. */
  readonly place: string;
  /** What follows the place: a codename and `key.asc`, the id or file of a package; else empty. */
  readonly below: string;
  readonly parameters: URLSearchParams;
  readonly body: Buffer;
}

export async function answerApi(
  registry: GitLabRegistry,
  container: Container,
  asked: ApiRequest,
): Promise<FoundText | NotFound> {
  const { method, place, below } = asked;
  if (place === 'packages/debian') return upload(registry, container, asked);
  if (place === 'debian_distributions') return answerDistribution(registry, container, asked);
  if (place === 'deploy_tokens' && method === 'POST') {
    const { scopes } = JSON.parse(asked.body.toString()) as { readonly scopes: readonly string[] };
    const reads = scopes.includes('read_package_registry') ? 'package' : 'nothing';
    const { user, secret } = registry.addToken(container, 'deploy', reads);
    return json(201, { username: user, scopes, token: secret });
  }
  const isDeleted = method === 'DELETE' && registry.delete(container, Number(below));
  return isDeleted ? NO_CONTENT : NOT_FOUND;
}

/** With a codename and a component; the files of a .changes, one after the other, are not taken. */
function upload(
  registry: GitLabRegistry,
  container: Container,
  { method, below, parameters, body }: ApiRequest,
): FoundText | NotFound {
  const codename = parameters.get('distribution') ?? '';
  const component = parameters.get('component');
  if (method !== 'PUT' || component === null || !container.distributions.has(codename))
    return { status: 400, message: '400 Bad request' };
  registry.upload(container, readBinaryPackage(below, body, component), codename);
  return json(201, { message: '201 Created' });
}

async function answerDistribution(
  registry: GitLabRegistry,
  container: Container,
  { method, below, parameters }: ApiRequest,
): Promise<FoundText | NotFound> {
  const named = parameters.get('codename');
  if (method === 'POST' && below === '' && named !== null) {
    const suite = parameters.get('suite');
    const options = { codename: named, ...(suite === null ? {} : { suite }) };
    return json(201, await registry.createDistribution(container, options));
  }
  const [codename = '', file] = below.split('/');
  const found = container.distributions.get(codename);
  if (found === undefined) return NOT_FOUND;
  if (file === 'key.asc') return { status: 200, text: found.key.publicArmored, type: 'text/plain' };
  if (method === 'PUT') registry.updateDistribution(container, codename);
  return json(200, found);
}

const json = (status: 200 | 201, value: DebianDistribution | object): FoundText => ({
  status,
  text: JSON.stringify(value),
  type: 'application/json',
});
