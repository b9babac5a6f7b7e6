//! Which member serves next: pure functions of weights, health, load and what was tried before.
//!
//! A member *can* take traffic when it is enabled, not down and has a weight. Backups come into play only when no
//! other member can; then all of them do, by weight.

use std::net::IpAddr;

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
    client: IpAddr,
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
            let client = hash_address(client);
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
