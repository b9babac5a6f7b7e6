//! Tokens that were found good, for a while. Tokens themselves are not kept, only their digests.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use sha2::{Digest, Sha256};

use octavia_cloud::RequestContext;

type Key = [u8; 32];

pub(super) struct Cache {
    most: usize,
    entries: HashMap<Key, Entry>,
    /// In the order they came; those that came again are in it twice, with the number of each time.
    order: VecDeque<(Key, u64)>,
    next: u64,
}

struct Entry {
    context: RequestContext,
    until: Instant,
    number: u64,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub(super) fn find(&self, token: &str, now: Instant) -> Option<RequestContext> {
        let entry = self.entries.get(&key(token))?;
        (now < entry.until).then(|| entry.context.clone())
    }

    /// The oldest makes room.
    pub(super) fn keep(&mut self, token: &str, context: RequestContext, until: Instant, now: Instant) {
        let (key, number) = (key(token), self.next);
        self.next += 1;
        self.entries.insert(key, Entry { context, until, number });
        self.order.push_back((key, number));
        while let Some((oldest, number)) = self.order.front().copied() {
            let current = self.entries.get(&oldest).filter(|entry| entry.number == number);
            if current.is_some_and(|entry| now < entry.until) && self.entries.len() <= self.most {
                break;
            }
            if current.is_some() {
                self.entries.remove(&oldest);
            }
            self.order.pop_front();
        }
    }
}

fn key(token: &str) -> Key {
    Sha256::digest(token.as_bytes()).into()
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(user: &str) -> RequestContext {
        RequestContext { user_id: user.to_owned(), ..RequestContext::default() }
    }

    #[test]
    fn what_is_kept_and_how_long() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache::new(3);
        for (index, token) in ["a", "b", "c"].into_iter().enumerate() {
            cache.keep(token, of(token), at(10 + index as u64), at(0));
        }
        assert_eq!(cache.find("a", at(9)), Some(of("a")));
        assert_eq!(cache.find("a", at(10)), None);
        assert_eq!(cache.find("x", at(0)), None);
        cache.keep("b", of("b2"), at(20), at(1));
        cache.keep("d", of("d"), at(20), at(1));
        assert_eq!(cache.find("a", at(1)), None, "the oldest made room");
        assert_eq!(cache.find("b", at(15)), Some(of("b2")));
        for round in 0..10_000 {
            cache.keep(["e", "f"][round % 2], of("e"), at(30), at(2));
        }
        assert!(cache.entries.len() <= 3 && cache.order.len() <= 10_003);
        cache.keep("g", of("g"), at(60), at(40));
        assert_eq!((cache.entries.len(), cache.order.len()), (1, 1), "what is over is forgotten");
    }
}
