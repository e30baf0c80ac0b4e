// The containers' cgroups as the doors show them: a flat list whose paths make the tree. Times are
// nanoseconds, sizes bytes; null is "no limit" or "nobody counts it".

export interface CgroupUsage {
  Cpu: {
    UsageNanoseconds: number | null;
    ThrottledNanoseconds: number;
    /** CPUs that it may use at most. */
    LimitCpus: number | null;
    /** Its share against others: cpu.weight of v2, cpu.shares of v1. */
    Weight: number | null;
  };
  Memory: {
    UsageBytes: number | null;
    LimitBytes: number | null;
    /** Page cache that could be given back. */
    CacheBytes: number;
    SwapBytes: number;
    OomKills: number;
  };
  Io: { ReadBytes: number; WriteBytes: number };
  Pids: { Current: number | null; Limit: number | null };
  /** Share of time that tasks waited, in percent; null where the kernel does not tell. */
  Pressure: { Cpu: Stall | null; Memory: Stall | null; Io: Stall | null };
}
/** "some": at least one task waited. "full": all of them did. Over 10 seconds and in all. */
export interface Stall {
  SomePercent: number;
  FullPercent: number;
  SomeMicroseconds: number;
  FullMicroseconds: number;
}

export interface CgroupProcess {
  Pid: number;
  Command: string;
}
export interface CgroupGroup extends CgroupUsage {
  Path: string;
  /** Where the group is a container's own. */
  Container?: {
    Id: string;
    Name: string;
    Image: string;
    State: string;
    Labels: Record<string, string>;
  };
  Processes?: CgroupProcess[];
}
export interface CgroupTree {
  /** Which version counts; on a hybrid host it is 1. */
  Version: 1 | 2;
  Parent: string;
  /** Nanoseconds of a clock that only goes forward, to compare two answers with. */
  Time: number;
  Host: { MemoryBytes: number; Cpus: number; Pressure: CgroupUsage["Pressure"] };
  /** The parent comes first. */
  Groups: CgroupGroup[];
  /** More groups or processes were there than are told. */
  Truncated: boolean;
}
