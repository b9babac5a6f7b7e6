//! How the machine is, as its kernel tells. The files are opened before the process gives up opening files.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::{Mutex, PoisonError};

/// What is read of a file, in bytes.
const READ: u64 = 8 * 1024;

#[derive(Debug)]
pub(crate) struct Vitals {
    load: Option<Mutex<File>>,
    memory: Option<Mutex<File>>,
    cpus: usize,
}

impl Vitals {
    /// What cannot be opened is not told.
    pub(crate) fn open() -> Self {
        let open = |path| File::open(path).ok().map(Mutex::new);
        Self {
            load: open("/proc/loadavg"),
            memory: open("/proc/meminfo"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// The load of the last minute in percent of what the processors can do.
    pub(crate) fn cpu(&self) -> Option<f64> {
        cpu(&read(self.load.as_ref()?)?, self.cpus)
    }

    /// Memory that is in use and could not be had for something else, in percent.
    pub(crate) fn memory(&self) -> Option<f64> {
        memory(&read(self.memory.as_ref()?)?)
    }
}

fn read(file: &Mutex<File>) -> Option<String> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.rewind().ok()?;
    let mut text = String::new();
    file.by_ref().take(READ).read_to_string(&mut text).ok()?;
    Some(text)
}

fn cpu(loadavg: &str, cpus: usize) -> Option<f64> {
    let load: f64 = loadavg.split_ascii_whitespace().next()?.parse().ok()?;
    Some(load / cpus as f64 * 100.0)
}

fn memory(meminfo: &str) -> Option<f64> {
    let kibibytes = |name: &str| -> Option<f64> {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_ascii_whitespace().next()?.parse().ok()
    };
    let total = kibibytes("MemTotal").filter(|total| *total > 0.0)?;
    Some((1.0 - kibibytes("MemAvailable")? / total) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says() {
        for (loadavg, cpus, expected) in [
            ("0.50 0.20 0.10 1/200 1234\n", 2, Some(25.0)),
            ("3.00 0 0 1/1 1", 2, Some(150.0)),
            ("0.00 0 0 1/1 1", 4, Some(0.0)),
            ("", 2, None),
            ("much", 2, None),
        ] {
            assert_eq!(cpu(loadavg, cpus), expected, "{loadavg:?}");
        }
        for (meminfo, expected) in [
            ("MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  250 kB\n", Some(75.0)),
            ("MemTotalX: 1 kB\nMemAvailable: 0 kB\nMemTotal: 8 kB\n", Some(100.0)),
            ("MemTotal: 0 kB\nMemAvailable: 0 kB\n", None),
            ("MemTotal: 8 kB\n", None),
            ("", None),
        ] {
            assert_eq!(memory(meminfo), expected, "{meminfo:?}");
        }
    }

    #[test]
    fn files_are_read_again_and_again() {
        let vitals = Vitals::open();
        for _ in 0..3 {
            assert!(vitals.cpu().is_some_and(|cpu| cpu >= 0.0));
            assert!(vitals.memory().is_some_and(|memory| (0.0..=100.0).contains(&memory)));
        }
    }
}
