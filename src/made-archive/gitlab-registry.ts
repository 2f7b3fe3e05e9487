/**
 * Projects and groups of a GitLab with their Debian distributions and packages, and the queue in
 * which distributions are generated. Read from gitlabhq: `process_package_file_service.rb`,
 * `create_distribution_service.rb`, `update_distribution_service.rb`
 * (all in `app/services/packages/debian`), `mark_package_for_destruction_service.rb`,
 * `app/models/packages/debian/group_distribution.rb`.
 */
import { randomBytes } from 'node:crypto';

import type { Package } from './deb-package.ts';
import type { Token } from './gitlab-access.ts';
import { DebianDistribution, type DistributionOptions } from './gitlab-distribution.ts';
import { packageFilesOf, type PackageFile } from './gitlab-package-files.ts';
import { createSigningKey } from './signing-key.ts';

/** A project or a group. */
export interface Container {
  readonly id: number;
  readonly path: string;
  readonly isGroup: boolean;
  readonly visibility: 'public' | 'private';
  readonly tokens: readonly Token[];
  readonly distributions: ReadonlyMap<string, DebianDistribution>;
}

interface OpenContainer extends Container {
  readonly tokens: Token[];
  readonly distributions: Map<string, DebianDistribution>;
  /** By id; each with the distribution that it was published in. */
  readonly packages: Map<number, { readonly codename: string; readonly files: PackageFile[] }>;
}

export class GitLabRegistry {
  readonly #containers: OpenContainer[] = [];
  /** `deduplicate :until_executed`: a distribution is in it once. */
  readonly #queue = new Set<DebianDistribution>();
  readonly #now: () => number;
  readonly #afterMs: number | null;
  #timer: NodeJS.Timeout | undefined;
  #running = Promise.resolve();
  #ids = 40;
  /** How often a distribution was generated. */
  generations = 0;

  /** @param afterMs how long after a change the worker comes; null: when `generate` is called */
  constructor(now: () => number, afterMs: number | null) {
    this.#now = now;
    this.#afterMs = afterMs;
  }

  add(path: string, visibility: 'public' | 'private', isGroup = false): Container {
    const id = (this.#ids += 1);
    const added: OpenContainer = {
      ...{ id, path, isGroup, visibility },
      ...{ tokens: [], distributions: new Map(), packages: new Map() },
    };
    this.#containers.push(added);
    return added;
  }

  /** @param name its number, or its full path */
  find(isGroup: boolean, name: string): Container | null {
    return (
      this.#containers.find(
        (one) => one.isGroup === isGroup && (String(one.id) === name || one.path === name),
      ) ?? null
    );
  }

  /** A deploy token is named by GitLab, `gitlab+deploy-token-<id>`. */
  addToken(container: Container, kind: Token['kind'], reads: Token['reads'] = 'package'): Token {
    const id = (this.#ids += 1);
    const users = {
      personal: 'alice',
      deploy: `gitlab+deploy-token-${id}`,
      job: 'gitlab-ci-token',
    };
    const token = { kind, reads, user: users[kind], secret: randomBytes(15).toString('base64url') };
    this.#open(container).tokens.push(token);
    return token;
  }

  /** The job of a job token ends, or another token is revoked. */
  revoke(container: Container, token: Token): void {
    const { tokens } = this.#open(container);
    tokens.splice(tokens.indexOf(token), 1);
  }

  /** Each distribution has a key of its own; the first generation comes at once. */
  async createDistribution(
    container: Container,
    options: DistributionOptions,
  ): Promise<DebianDistribution> {
    const key = await createSigningKey(`GitLab ${container.path} ${options.codename}`, {
      created: new Date(this.#now() - 86_400_000),
    });
    const created = new DebianDistribution(options, key, container.isGroup, () =>
      this.#packageFilesOf(container, options.codename),
    );
    this.#open(container).distributions.set(options.codename, created);
    this.#schedule(created);
    return created;
  }

  /** `PUT …/debian_distributions/<codename>`: generated anew, whatever changed. */
  updateDistribution(container: Container, codename: string): void {
    this.#schedule(this.#distribution(container, codename));
  }

  /**
   * The files are there when the answer comes; the distribution of the project is generated later,
   * and those of its groups are not: only their own API does that.
   * @returns its id
   */
  upload(project: Container, uploaded: Package, codename: string): number {
    const distribution = this.#distribution(project, codename);
    const id = (this.#ids += 1);
    const files = packageFilesOf(uploaded, project.id, this.#now());
    this.#open(project).packages.set(id, { codename, files });
    this.#schedule(distribution);
    return id;
  }

  /**
   * Its files are gone at once, and nothing is generated: the indices go on naming them until the
   * next upload, or `updateDistribution`.
   */
  delete(project: Container, id: number): boolean {
    return this.#open(project).packages.delete(id);
  }

  /** The worker runs now. @returns when all that was asked for is generated */
  async generate(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = this.#running.then(() => this.#runQueue());
    await this.#running;
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#running;
  }

  async #runQueue(): Promise<void> {
    for (const distribution of [...this.#queue]) {
      this.#queue.delete(distribution);
      await distribution.generate(this.#now());
      this.generations += 1;
    }
  }

  #schedule(distribution: DebianDistribution): void {
    this.#queue.add(distribution);
    if (this.#afterMs === null || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.generate(), this.#afterMs);
  }

  /** Of a group: what its public projects have in a distribution of the same codename. */
  #packageFilesOf(container: Container, codename: string): PackageFile[] {
    const projects = container.isGroup
      ? this.#containers.filter(
          (one) =>
            !one.isGroup &&
            one.visibility === 'public' &&
            one.path.startsWith(`${container.path}/`),
        )
      : [this.#open(container)];
    return projects
      .flatMap((project) => [...project.packages.values()])
      .filter((one) => one.codename === codename)
      .flatMap(({ files }) => files);
  }

  #distribution(container: Container, codename: string): DebianDistribution {
    const found = container.distributions.get(codename);
    if (found === undefined) throw new Error(`${container.path} has no distribution ${codename}`);
    return found;
  }

  #open(container: Container): OpenContainer {
    return this.#containers.find((one) => one === container)!;
  }
}
