/** Whose a site is: one database of debgeo, and how often it was restored from a backup. */
export interface Deployment {
  /** A UUID that `migrate` makes once per database. */
  readonly id: string;
  readonly epoch: number;
}
