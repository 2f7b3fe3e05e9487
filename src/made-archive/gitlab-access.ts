/**
 * Who may read the package registry of a GitLab. Read from gitlabhq:
 * `lib/api/concerns/packages/debian_package_endpoints.rb` (which tokens, and that a user name
 * belongs to each), `lib/api/helpers/packages/basic_auth_helpers.rb` (which status is answered).
 */
export interface Token {
  /**
   * `personal` with the name of its user, `deploy` with the name that GitLab gave it, `job` with
   * `gitlab-ci-token` (doc/user/packages/debian_repository).
   */
  readonly kind: 'personal' | 'deploy' | 'job';
  readonly user: string;
  readonly secret: string;
  /**
   * `package`: reads the registry (a deploy token with `read_package_registry`); `project`: may see
   * the project and not its packages, as a guest; `nothing`: is of another project.
   */
  readonly reads: 'package' | 'project' | 'nothing';
}

/** `JOB-TOKEN` and the like are for the API of distributions alone. */
export interface Credentials {
  readonly authorization: string | undefined;
  /** Of the header `PRIVATE-TOKEN`, `Deploy-Token` or `Job-Token`. */
  readonly header: string | undefined;
}

export const REALM = 'Basic realm="GitLab Packages Registry"';

/** An unknown login is 401 also for what everybody may read, as it is in GitLab. */
export function judgeAccess(
  visibility: 'public' | 'private',
  tokens: readonly Token[],
  { authorization, header }: Credentials,
): 200 | 401 | 403 | 404 {
  if (authorization === undefined && header === undefined)
    return visibility === 'public' ? 200 : 401;
  const token =
    header === undefined
      ? ofBasic(authorization ?? '', tokens)
      : tokens.find(({ secret }) => secret === header);
  if (token === undefined) return 401;
  if (visibility === 'public' || token.reads === 'package') return 200;
  // `forbidden! if can?(current_user, :read_project, project)`, else `not_found!`
  return token.reads === 'project' ? 403 : 404;
}

/** RFC 7617. */
function ofBasic(authorization: string, tokens: readonly Token[]): Token | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(authorization) ?? [];
  if (encoded === undefined) return undefined;
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
  return tokens.find((token) => token.user === user && token.secret === secret);
}
