//! CPU time and memory of processes, from /proc.

use std::fs;
use std::time::Duration;

/// CPU time of a process and of the children that it waited for.
pub fn cpu(pid: i32) -> Duration {
    Stat::read(pid).map_or(Duration::ZERO, |stat| stat.own + stat.reaped)
}

/// CPU time of a process and all its children, those that ended included.
pub fn cpu_with_children(pid: i32) -> Duration {
    cpu(pid) + children(pid).into_iter().map(cpu).sum::<Duration>()
}

/// CPU time of the children that this process waited for.
pub fn cpu_of_ended_children() -> Duration {
    let own = i32::try_from(std::process::id()).ok().and_then(Stat::read);
    own.map_or(Duration::ZERO, |stat| stat.reaped)
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| Stat::read(*child).is_some_and(|stat| stat.parent == pid)).collect()
}

/// CPU time that the whole machine spent on anything, time taken by its host included.
pub fn cpu_of_machine() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text).map_or(Duration::ZERO, |ticks| of_ticks(ticks, rustix::param::clock_ticks_per_second()))
}

/// All but idling and waiting for disks.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).take(8).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().sum::<u64>() - idle)
}

fn of_ticks(ticks: u64, per_second: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / per_second)
}

/// Memory of a process, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Memory {
    /// What it has.
    pub now: u64,
    /// The most that it ever had.
    pub most: u64,
}

/// The memory of a process.
pub fn memory(pid: i32) -> Option<Memory> {
    Memory::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The most memory that a process ever had, in bytes.
pub fn peak_memory(pid: i32) -> Option<u64> {
    memory(pid).map(|memory| memory.most)
}

impl Memory {
    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kibibytes * 1024)
        };
        Some(Self { now: bytes("VmRSS:")?, most: bytes("VmHWM:")? })
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: i32,
    own: Duration,
    reaped: Duration,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, rustix::param::clock_ticks_per_second())
    }

    /// The fields behind the name, which may hold spaces and brackets.
    fn parse(text: &str, ticks_per_second: u64) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let time = |user: usize, system: usize| Some(of_ticks(ticks(user)? + ticks(system)?, ticks_per_second));
        Some(Self { parent: fields.get(1)?.parse().ok()?, own: time(11, 12)?, reaped: time(13, 14)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_the_name() {
        let stat = "42 (a) b (c) S 7 2 3 4 5 6 7 8 9 10 150 50 1000 20 15 16";
        let expected = Stat { parent: 7, own: Duration::from_secs(2), reaped: Duration::from_millis(10_200) };
        assert_eq!(Stat::parse(stat, 100), Some(expected));
        assert_eq!(Stat::parse("nonsense", 100), None);
    }

    #[test]
    fn a_machine_that_waits_is_not_busy() {
        assert_eq!(busy_ticks("cpu  10 1 5 1000 200 2 3 4 50 0\ncpu0 9 9 9 9\n"), Some(25));
        assert_eq!(busy_ticks(""), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let expected = Memory { now: 1024, most: 2_097_152 };
        assert_eq!(Memory::parse("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), Some(expected));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }
}
