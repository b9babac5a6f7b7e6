//! Does what a router asks for with its addresses, one after the other.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Addresses;

/// How often addresses that could not be taken off are tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Whether they shall be on.
    pub(super) hold: bool,
    pub(super) vips: Vec<IpAddr>,
    pub(super) serial: u64,
}

/// What has become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) serial: u64,
    pub(super) good: bool,
}

/// Until there are no orders any more.
pub(super) fn keep(mut addresses: impl Addresses, orders: &Receiver<Order>, report: impl Fn(Done)) {
    let mut next = orders.recv().ok();
    while let Some(order) = next {
        // The last word counts.
        let order = orders.try_iter().last().unwrap_or(order);
        let result = if order.hold { addresses.hold(&order.vips) } else { addresses.release(&order.vips) };
        if let Err(error) = &result {
            tracing::warn!(%error, hold = order.hold, "VIPs cannot be put on, or taken off");
        }
        report(Done { serial: order.serial, good: result.is_ok() });
        next = if order.hold || result.is_ok() {
            orders.recv().ok()
        } else {
            match orders.recv_timeout(RETRY) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => Some(order),
                Err(RecvTimeoutError::Disconnected) => None,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Fails so many times to take addresses off.
    struct Fake {
        failures: u32,
        log: Sender<String>,
    }

    impl Addresses for Fake {
        fn hold(&mut self, vips: &[IpAddr]) -> io::Result<()> {
            self.log.send(format!("hold {}", vips.len())).map_err(io::Error::other)
        }

        fn release(&mut self, vips: &[IpAddr]) -> io::Result<()> {
            let fails = self.failures > 0;
            self.failures = self.failures.saturating_sub(1);
            let text = if fails { "release fails".to_owned() } else { format!("release {}", vips.len()) };
            self.log.send(text).map_err(io::Error::other)?;
            if fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    }

    fn played(failures: u32, orders: &[Order]) -> (Vec<String>, Vec<Done>) {
        let (log, logged) = channel();
        let (report, reports) = channel();
        let (sender, receiver) = channel();
        let waits = failures > 0;
        let keeper = std::thread::spawn(move || {
            keep(Fake { failures, log }, &receiver, |done| report.send(done).unwrap());
        });
        orders.iter().for_each(|order| sender.send(order.clone()).unwrap());
        let mut done = vec![];
        if waits {
            done.extend((0..=failures).map(|_| reports.recv().unwrap()));
        }
        drop(sender);
        keeper.join().unwrap();
        done.extend(reports.try_iter());
        (logged.try_iter().collect(), done)
    }

    #[test]
    fn the_last_word_counts_and_what_was_ordered_is_done_before_the_end() {
        let order = |hold, serial| Order { hold, serial, vips: vec![[192, 0, 2, 9].into()] };
        let (log, done) = played(0, &[order(true, 1), order(false, 2)]);
        // The first may have been begun before the second was there.
        assert_eq!(log.last().unwrap(), "release 1");
        assert_eq!(done.last(), Some(&Done { serial: 2, good: true }));
        let (log, done) = played(1, &[order(false, 7)]);
        assert_eq!(log, ["release fails", "release 1"]);
        assert_eq!(done, [Done { serial: 7, good: false }, Done { serial: 7, good: true }]);
    }
}
