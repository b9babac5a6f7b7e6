//! What the kernel says of this process, under the names that Prometheus' clients agree on.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

#[derive(Debug)]
pub(super) struct ProcessCollector;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    /// Seconds, in user and system mode.
    cpu: f64,
    threads: i64,
    /// Bytes.
    virtual_memory: i64,
    /// Bytes.
    resident_memory: i64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: i64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let usage = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
            let (ticks, page) = (rustix::param::clock_ticks_per_second(), rustix::param::page_size());
            usage(&stat, ticks, page)
        });
        if let Some(usage) = usage {
            gauge("process_threads", "Threads of this process.", None, usage.threads)?;
            let bytes = Some(&Unit::Bytes);
            gauge("process_virtual_memory", "Address space in bytes.", bytes, usage.virtual_memory)?;
            gauge("process_resident_memory", "Memory in use in bytes.", bytes, usage.resident_memory)?;
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them reads the directory.
            let open = i64::try_from(entries.count().saturating_sub(1)).unwrap_or(i64::MAX);
            gauge("process_open_fds", "Open file descriptors.", None, open)?;
        }
        if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            gauge("process_max_fds", "Open file descriptors at most.", None, most)?;
        }
        if let Some(usage) = usage {
            let cpu = ConstCounter::new(usage.cpu);
            let kind = cpu.metric_type();
            let help = "CPU time in user and system mode in seconds.";
            let descriptor = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?;
            cpu.encode(descriptor)?;
        }
        Ok(())
    }
}

/// Of `/proc/self/stat` (proc_pid_stat(5)); `None` = it has another shape.
fn usage(stat: &str, ticks_per_second: u64, page_size: usize) -> Option<Usage> {
    // The name in parentheses may hold anything; fields 3 and on follow the last of them.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)?.checked_add(field(15)?)?;
    Some(Usage {
        cpu: ticks as f64 / ticks_per_second as f64,
        threads: field(20)?.try_into().ok()?,
        virtual_memory: field(23)?.try_into().ok()?,
        resident_memory: field(24)?.checked_mul(page_size as u64)?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes() {
        let stat = "12 (a) (b c) S 1 12 12 0 -1 4194304 500 0 0 0 150 50 0 0 20 0 7 0 900 8192000 300 18446744073709551615 1";
        let wanted = Usage { cpu: 2.0, threads: 7, virtual_memory: 8_192_000, resident_memory: 1_228_800 };
        assert_eq!(usage(stat, 100, 4096), Some(wanted));
        for stat in ["", "12 (a", "12 (a) S 1", "12 (a) S x x x x x x x x x x x x x x x x x x x x x x"] {
            assert_eq!(usage(stat, 100, 4096), None, "{stat}");
        }
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(usage(&own, 100, 4096).is_some_and(|usage| usage.threads >= 1), "{own}");
    }
}
