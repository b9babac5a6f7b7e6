//! What one thread writes and any reads, so that counting costs a plain store.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A counter written by one thread and read by any.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// The mean of the last thousand or so, each older one weighing a little less: HAProxy's way.
#[derive(Debug, Default)]
pub(crate) struct Average {
    /// In parts of `WINDOW`, so that small values fade, too.
    sum: Counter,
    count: Counter,
}

impl Average {
    const WINDOW: u64 = 1024;

    #[inline]
    pub(crate) fn count(&self, value: u64) {
        let (sum, count) = (self.sum.read(), self.count.read());
        let faded = if count < Self::WINDOW { sum } else { sum - sum / Self::WINDOW };
        self.sum.set(faded.saturating_add(value.saturating_mul(Self::WINDOW)));
        self.count.set(count + 1);
    }

    /// Of several together; `None` = there is nothing yet.
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a Self>) -> Option<f64> {
        let (sum, count) = all.fold((0, 0), |(sum, count), one| {
            (sum + one.sum.read() / Self::WINDOW, count + one.count.read().min(Self::WINDOW))
        });
        (count > 0).then(|| sum as f64 / count as f64)
    }
}

/// Responses by the first digit of their status; the first place is for those of no class.
#[derive(Debug, Default)]
pub(crate) struct Responses(pub(super) [Counter; 6]);

impl Responses {
    pub(crate) const CLASSES: [&'static str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

    #[inline]
    pub(crate) fn count(&self, status: u16) {
        let class = usize::from(status / 100);
        self.0[if class < self.0.len() { class } else { 0 }].add(1);
    }
}

/// How long requests took, from their head to the end of their response. The clock is a few milliseconds coarse, and
/// errs to either side as often.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// By the first bound they keep to; the last place is for those that keep to none.
    pub(super) buckets: [Counter; Self::BOUNDS.len() + 1],
    /// Milliseconds.
    pub(super) sum: Counter,
}

impl Durations {
    /// Milliseconds.
    pub(crate) const BOUNDS: [u64; 11] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

    #[inline]
    pub(crate) fn count(&self, ms: u64) {
        let bucket = Self::BOUNDS.iter().position(|&bound| ms <= bound).unwrap_or(Self::BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum.add(ms);
    }
}

/// One thread's counters of what goes on between the proxy and a member, or a pool, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct UpstreamCounters {
    /// Connections that were begun, made, and used again.
    pub(crate) attempts: Counter,
    pub(crate) connections: Counter,
    pub(crate) reuses: Counter,
    /// Requests (HTTP) or connections (TCP) that were given to members.
    pub(crate) requests: Counter,
    /// Connections that could not be made.
    pub(crate) connect_errors: Counter,
    /// Connections that failed later, and responses that broke off or came too late.
    pub(crate) response_errors: Counter,
    /// Requests that went to the same member again, and to another.
    pub(crate) retries: Counter,
    pub(crate) redispatches: Counter,
    /// Bytes to members, and from them.
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) responses: Responses,
    /// How often a member was chosen that nobody had claimed.
    pub(crate) balanced: Counter,
    /// When a member was given something the last time, in milliseconds; 0 = never.
    pub(super) last: Counter,
    /// How long it took to make a connection, and from a request to the head of its response, in milliseconds.
    pub(crate) connect: Average,
    pub(crate) response: Average,
}

/// One thread's counters of a route.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    pub(crate) upstream: UpstreamCounters,
    /// Requests (HTTP) or connections (TCP) that came to the pool, and those that are over.
    pub(crate) entered: Counter,
    pub(crate) left: Counter,
}

/// One thread's counters of a listener, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ListenerCounters {
    pub(crate) rx: Counter,
    pub(crate) tx: Counter,
    pub(crate) connections: Counter,
    pub(crate) request_errors: Counter,
    /// Connections from addresses that are not allowed.
    pub(crate) denied_connections: Counter,
    pub(crate) requests: Counter,
    /// Requests that an L7 policy refused.
    pub(crate) denied_requests: Counter,
    /// Requests that the proxy answered by itself, and was there to.
    pub(crate) intercepted: Counter,
    pub(crate) responses: Responses,
    pub(crate) durations: Durations,
}

/// Counters of each thread, and of the processes before this one, if any have told theirs.
#[derive(Debug)]
pub(super) struct PerThread<T> {
    threads: Box<[T]>,
    /// The control thread's.
    inherited: OnceLock<Box<T>>,
}

impl<T: Default> PerThread<T> {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads: (0..threads).map(|_| T::default()).collect(), inherited: OnceLock::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.threads.iter().chain(self.inherited.get().map(AsRef::as_ref))
    }

    #[inline]
    pub(super) fn on(&self, thread: usize) -> &T {
        &self.threads[thread]
    }

    pub(super) fn inherited(&self) -> &T {
        self.inherited.get_or_init(Box::default)
    }
}

/// Sums one counter of each thread.
pub(super) fn sum<T: Default>(threads: &PerThread<T>, counter: impl Fn(&T) -> &Counter) -> u64 {
    threads.iter().map(|thread| counter(thread).read()).sum()
}

/// Something that counts what goes on with members.
pub(crate) trait Counted {
    fn total(&self, counter: fn(&UpstreamCounters) -> &Counter) -> u64;

    fn responses(&self, class: usize) -> u64;

    /// Milliseconds.
    fn average(&self, of: fn(&UpstreamCounters) -> &Average) -> Option<f64>;

    /// When a member was given something the last time, in milliseconds.
    fn last(&self) -> Option<u64>;
}

/// Where what happens with a member is counted: with it, and with the pool as the listener leads to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally<'a> {
    pub(crate) route: Option<&'a UpstreamCounters>,
    pub(crate) member: &'a UpstreamCounters,
}

impl Tally<'_> {
    #[inline]
    pub(crate) fn add(self, counter: impl Fn(&UpstreamCounters) -> &Counter, n: u64) {
        self.each(|counters| counter(counters).add(n));
    }

    #[inline]
    pub(crate) fn each(self, count: impl Fn(&UpstreamCounters)) {
        count(self.member);
        if let Some(route) = self.route {
            count(route);
        }
    }

    /// A member is given something.
    #[inline]
    pub(crate) fn begun(self, now: u64) {
        self.each(|c| {
            c.requests.add(1);
            c.last.set(now);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values for each thread, so many times each.
    #[test]
    fn averages_are_of_the_last_thousand_or_so() {
        for (threads, low, high) in [
            (&[&[(10, 1)][..], &[]][..], 10.0, 10.0),
            (&[&[(10, 1), (20, 1)], &[(60, 1)]], 30.0, 30.0),
            (&[&[(1, 100_000)]], 0.99, 1.01),
            (&[&[(0, 100_000)]], 0.0, 0.0),
            (&[&[(1000, 5_000), (0, 1024)]], 360.0, 375.0),
            (&[&[(1000, 5_000), (0, 20_000)]], 0.0, 0.01),
            (&[&[(u64::MAX, 2)]], 0.0, f64::MAX),
        ] {
            let all: Vec<_> = threads.iter().map(|_| Average::default()).collect();
            for (average, values) in all.iter().zip(threads) {
                for &(value, times) in *values {
                    (0..times).for_each(|_| average.count(value));
                }
            }
            let mean = Average::of(all.iter()).unwrap();
            assert!((low..=high).contains(&mean), "{threads:?}: {mean}");
        }
        assert_eq!(Average::of([Average::default()].iter()), None);
    }
}
