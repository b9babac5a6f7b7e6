//! Which member serves next: pure functions of weights, health, load and what was tried before.
//!
//! A member *can* take traffic when it is enabled, not down and has a weight. Backups come into play only when no
//! other member can; then all of them do, by weight.

use std::net::{IpAddr, SocketAddr};

use octavia_model::Algorithm;

/// A member as balancing sees it.
pub trait Peer {
    /// 0 = takes nothing new.
    fn weight(&self) -> u16;
    fn is_backup(&self) -> bool;
    /// Enabled, and not found down.
    fn is_well(&self) -> bool;
    /// Requests or connections it is serving.
    fn active(&self) -> u64;
    /// The same for the same member for ever, whatever its place in the list.
    fn identity(&self) -> u64;
}

/// Smooth weighted round robin: what each member is owed, by place in the list. The picks of one member are spread
/// evenly over a round, not bunched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    credits: Vec<i64>,
}

impl Rotation {
    pub fn new(members: usize) -> Self {
        Self { credits: vec![0; members] }
    }

    /// Goes on from another rotation, where `place_before` gives a member's place in it: so changing a pool does not
    /// start its round again.
    pub fn inherit(&mut self, before: &Self, place_before: impl Fn(usize) -> Option<usize>) {
        for (place, credit) in self.credits.iter_mut().enumerate() {
            *credit = place_before(place).and_then(|p| before.credits.get(p)).copied().unwrap_or(0);
        }
    }

    fn next<P: Peer>(&mut self, members: &[P], may: impl Fn(usize, &P) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (place, member) in members.iter().enumerate() {
            if !may(place, member) {
                continue;
            }
            let weight = i64::from(member.weight());
            total += weight;
            self.credits[place] += weight;
            if best.is_none_or(|best| self.credits[place] > self.credits[best]) {
                best = Some(place);
            }
        }
        let best = best?;
        self.credits[best] -= total;
        Some(best)
    }
}

/// Chooses a member's place in `members`, none of `tried`; `None` when no member can.
pub fn pick<P: Peer>(
    algorithm: Algorithm,
    members: &[P],
    rotation: &mut Rotation,
    client: SocketAddr,
    tried: &[u16],
) -> Option<usize> {
    debug_assert_eq!(rotation.credits.len(), members.len());
    let can = |place: usize, member: &P| {
        member.weight() > 0 && member.is_well() && (tried.is_empty() || !tried.contains(&(place as u16)))
    };
    let regular = members.iter().enumerate().any(|(place, m)| !m.is_backup() && can(place, m));
    let may = |place: usize, member: &P| member.is_backup() != regular && can(place, member);
    match algorithm {
        Algorithm::RoundRobin => rotation.next(members, may),
        Algorithm::LeastConnections => {
            let places = || members.iter().enumerate().filter(|&(place, m)| may(place, m));
            let (_, least) = places().min_by(|(_, a), (_, b)| compare_load(*a, *b))?;
            rotation.next(members, |place, m| may(place, m) && compare_load(m, least).is_eq())
        }
        Algorithm::SourceIp | Algorithm::SourceIpPort => {
            let address = hash_address(client.ip());
            let client = match algorithm {
                Algorithm::SourceIpPort => mix(address ^ u64::from(client.port())),
                _ => address,
            };
            let places = members.iter().enumerate().filter(|&(place, m)| may(place, m));
            let scored = places.map(|(place, m)| (place, rendezvous(client, m.identity(), m.weight())));
            scored.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
        }
    }
}

/// By load for its weight: `(active + 1) / weight`, and nothing at all while idle, so that idle members take turns.
fn compare_load<P: Peer>(a: &P, b: &P) -> std::cmp::Ordering {
    let load = |p: &P| match p.active() {
        0 => 0,
        n => u128::from(n) + 1,
    };
    (load(a) * u128::from(b.weight())).cmp(&(load(b) * u128::from(a.weight())))
}

/// Weighted rendezvous hashing: the member with the least score wins. A member's score depends on nothing but itself
/// and the client, so no client moves between members that stay.
fn rendezvous(client: u64, member: u64, weight: u16) -> f64 {
    // 53 random bits in (0, 1]: -ln of them is exponentially distributed, with the weight as its rate.
    let uniform = ((mix(client ^ mix(member)) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -uniform.ln() / f64::from(weight)
}

fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => mix(v4.to_bits().into()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            mix(bits as u64 ^ mix((bits >> 64) as u64))
        }
    }
}

/// The finalizer of splitmix64: every input bit turns about half of the output bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use octavia_model::Algorithm::{LeastConnections, RoundRobin, SourceIp, SourceIpPort};

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Member {
        id: u64,
        weight: u16,
        backup: bool,
        well: bool,
        active: u64,
    }

    impl Peer for Member {
        fn weight(&self) -> u16 {
            self.weight
        }
        fn is_backup(&self) -> bool {
            self.backup
        }
        fn is_well(&self) -> bool {
            self.well
        }
        fn active(&self) -> u64 {
            self.active
        }
        fn identity(&self) -> u64 {
            self.id
        }
    }

    /// Members from a line: `a3` = member a of weight 3; `!` = not well, `~` = backup, `=7` = serves 7.
    fn members(text: &str) -> Vec<Member> {
        let member = |word: &str| {
            let name = word.as_bytes()[0];
            let (flags, active) = word[1..].split_once('=').unwrap_or((&word[1..], "0"));
            let weight: String = flags.chars().filter(char::is_ascii_digit).collect();
            Member {
                id: name.into(),
                weight: weight.parse().unwrap_or(1),
                backup: flags.contains('~'),
                well: !flags.contains('!'),
                active: active.parse().unwrap(),
            }
        };
        text.split_whitespace().map(member).collect()
    }

    fn client(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(n.into()), 1)
    }

    /// The `n`th client behind one address.
    fn neighbour(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::from([192, 0, 2, 1]), n as u16)
    }

    /// The names of the next `n` picks; `-` = none.
    fn picks(algorithm: Algorithm, text: &str, n: usize) -> String {
        let members = members(text);
        let mut rotation = Rotation::new(members.len());
        let pick = |_| match pick(algorithm, &members, &mut rotation, client(7), &[]) {
            Some(place) => members[place].id as u8 as char,
            None => '-',
        };
        (0..n).map(pick).collect()
    }

    #[test]
    fn who_is_next() {
        for (algorithm, text, expected) in [
            (RoundRobin, "a b c", "abcabc"),
            (RoundRobin, "a3 b1", "aabaaaba"),
            (RoundRobin, "a5 b1 c1", "aabacaa"),
            (RoundRobin, "a256 b256", "abab"),
            (RoundRobin, "a0 b c", "bcbc"),
            (RoundRobin, "a! b c", "bcbc"),
            (RoundRobin, "a b~ c~", "aaa"),
            (RoundRobin, "a! b~ c~", "bcbc"),
            (RoundRobin, "a0 b~2 c~", "bcbbcb"),
            (RoundRobin, "a! b~! c~", "cc"),
            (RoundRobin, "a! b0 c~!", "--"),
            (RoundRobin, "", "-"),
            (LeastConnections, "a b c", "abcabc"),
            (LeastConnections, "a2 b1", "abaaba"),
            (LeastConnections, "a=2 b=1 c=5", "bbb"),
            (LeastConnections, "a=2 b=2 c=5", "abab"),
            (LeastConnections, "a4=4 b1=1", "aaa"),
            (LeastConnections, "a4=8 b1=1", "bbb"),
            (LeastConnections, "a=9 b!=1 c0=0", "aaa"),
            (LeastConnections, "a! b~=3 c~=2", "cc"),
            (LeastConnections, "a!", "-"),
            (SourceIp, "a! b c!", "bbb"),
            (SourceIp, "a! b~", "bb"),
            (SourceIp, "a0", "-"),
            (SourceIpPort, "a! b c!", "bbb"),
            (SourceIpPort, "a! b~", "bb"),
            (SourceIpPort, "a0", "-"),
        ] {
            assert_eq!(picks(algorithm, text, expected.len()), expected, "{algorithm} {text}");
        }
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let members = members("a b c~");
        let mut rotation = Rotation::new(3);
        for algorithm in [RoundRobin, LeastConnections, SourceIp, SourceIpPort] {
            let mut next = |tried: &[u16]| pick(algorithm, &members, &mut rotation, client(1), tried);
            assert_eq!(next(&[0]), Some(1));
            assert_eq!(next(&[1]), Some(0));
            assert_eq!(next(&[0, 1]), Some(2), "a backup, when no other can");
            assert_eq!(next(&[0, 1, 2]), None);
        }
    }

    /// Each algorithm that looks at weights only gives each member its share.
    #[test]
    fn shares_follow_weights() {
        let members = members("a1 b2 c3 d10");
        for (algorithm, behind_one) in
            [(RoundRobin, false), (SourceIp, false), (SourceIpPort, false), (SourceIpPort, true)]
        {
            let client = |n| if behind_one { neighbour(n) } else { client(n * 7919) };
            let mut rotation = Rotation::new(members.len());
            let mut counts = [0u32; 4];
            for n in 0..16_000 {
                counts[pick(algorithm, &members, &mut rotation, client(n), &[]).unwrap()] += 1;
            }
            for (count, member) in counts.iter().zip(&members) {
                let share = f64::from(*count) / f64::from(u32::from(member.weight) * 1000);
                assert!((0.9..1.1).contains(&share), "{algorithm}: {counts:?}");
            }
        }
    }

    #[test]
    fn ports_count_for_one_algorithm_only() {
        let members = members("a b c d");
        let mut rotation = Rotation::new(members.len());
        let mut chosen = |algorithm| {
            let picks = (0..100).map(|n| pick(algorithm, &members, &mut rotation, neighbour(n), &[]));
            picks.collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!((chosen(SourceIp), chosen(SourceIpPort)), (1, 4));
    }

    #[test]
    fn a_client_stays_with_its_member() {
        let before = members("a b c2 d");
        let mut rotation = Rotation::new(4);
        let mut chosen = |members: &[Member], n| {
            rotation = Rotation::new(members.len());
            pick(SourceIp, members, &mut rotation, client(n), &[]).map(|place| members[place].id)
        };
        for n in 0..2_000 {
            let at_first = chosen(&before, n);
            // Order does not matter, a new member takes some, one that goes gives only its own.
            assert_eq!(chosen(&members("d c2 b a"), n), at_first);
            let with_new = chosen(&members("a b c2 d e"), n);
            assert!(with_new == at_first || with_new == Some(b'e'.into()));
            let without = chosen(&members("a b! c2 d"), n);
            assert!(without == at_first || at_first == Some(b'b'.into()));
            let heavier = chosen(&members("a b c4 d"), n);
            assert!(heavier == at_first || heavier == Some(b'c'.into()));
        }
    }

    #[test]
    fn a_change_does_not_start_the_round_again() {
        let old = members("a b c");
        let mut before = Rotation::new(3);
        assert_eq!(pick(RoundRobin, &old, &mut before, client(1), &[]), Some(0));
        // a goes, d comes first.
        let new = members("d b c");
        let mut after = Rotation::new(3);
        after.inherit(&before, |place| (place > 0).then_some(place));
        let picked: Vec<_> =
            (0..3).map(|_| pick(RoundRobin, &new, &mut after, client(1), &[]).unwrap()).collect();
        assert_eq!(picked, [1, 2, 0]);
    }
}
