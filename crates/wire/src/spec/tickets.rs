//! What the keys of TLS session tickets are made of: the same on every amphora of a load balancer, and new for each period
//! of six hours, without anybody having to push them.
//!
//! A *ratchet*: what makes the keys of one period also makes what makes those of the next, and nothing leads back. Who
//! holds it learns what its amphora may open from now on, and nothing of what was sealed before.
//!
//! So that nobody has to go through all periods since 1970, it has two wheels: 256 periods are a *season*, whose secret
//! leads to that of the next season and, on its own way, to those of its periods.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use newtype_uuid::GenericUuid;
use octavia_model::LoadBalancerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{AmphoraSpec, SpecError};

/// Periods of a season. Part of what controllers and proxies of all versions have to agree on, as is every label below.
const SEASON: u64 = 256;
/// The last period there is: proxies write it in 32 bits, and it is far beyond what certificates can name.
const PERIOD_MAX: u64 = u32::MAX as u64;

/// Bytes of each secret.
const SECRET: usize = 32;

#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret([u8; SECRET]);

impl Secret {
    pub(super) const fn reveal(&self) -> &[u8; SECRET] {
        &self.0
    }

    /// Of a key of any length (HKDF-Extract, RFC 5869).
    fn extract(key: &[u8]) -> Self {
        let mut mac = mac(b"octavia tickets 1");
        mac.update(key);
        Self(mac.finalize().into_bytes().into())
    }

    /// What follows from it under this name (HMAC-SHA-256, the step of HKDF-Expand).
    pub(super) fn derive(&self, label: &str, context: &[&[u8]]) -> Self {
        let mut mac = mac(&self.0);
        mac.update(label.as_bytes());
        context.iter().for_each(|part| mac.update(part));
        Self(mac.finalize().into_bytes().into())
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length.
    Hmac::<Sha256>::new_from_slice(key).expect("any key length")
}

/// What every ticket's key follows from, of all load balancers: a controller's, and never an amphora's.
#[derive(Clone)]
pub struct TicketRoot(Secret);

impl fmt::Debug for TicketRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketRoot(<secret>)")
    }
}

impl TicketRoot {
    /// `key` is random, of 32 bytes or as much text as they make: whoever knows it can open the tickets of every load
    /// balancer.
    pub fn new(key: &[u8]) -> Self {
        Self(Secret::extract(key))
    }

    /// What an amphora of this load balancer is given: good from this period on.
    pub fn of(&self, load_balancer: LoadBalancerId, period: u64) -> TicketSpec {
        let id = load_balancer.into_untyped_uuid();
        let first = self.0.derive("octavia tickets 1: load balancer", &[id.as_bytes()]);
        TicketSpec::begin(first, 0).at(period)
    }

    /// Something else that amphorae of this load balancer have in common.
    pub(super) fn derive(&self, label: &str, load_balancer: LoadBalancerId) -> Secret {
        self.0.derive(label, &[load_balancer.into_untyped_uuid().as_bytes()])
    }
}

/// Where a ratchet stands. `Debug` hides what is secret; zeroed when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketSpec {
    /// The first period whose keys follow from it: so many times [`TicketSpec::PERIOD`] since 1970.
    period: u64,
    /// Of the period.
    secret: Secret,
    /// Of the season after that of the period.
    season: Secret,
}

impl TicketSpec {
    /// Seconds for which new tickets are sealed with one key.
    pub const PERIOD: u64 = 6 * 60 * 60;
    /// Bytes that one is made of.
    pub const ENTROPY: usize = SECRET;

    /// The period of a time in seconds since 1970.
    pub const fn period_at(seconds: u64) -> u64 {
        seconds / Self::PERIOD
    }

    /// The first period whose tickets are opened at a time in seconds since 1970: the one before.
    pub const fn first_at(seconds: u64) -> u64 {
        Self::period_at(seconds).saturating_sub(1)
    }

    /// One that no other amphora has.
    pub fn own(random: [u8; SECRET], period: u64) -> Self {
        let period = period.min(PERIOD_MAX);
        let mut own = Self::begin(Secret(random), period / SEASON);
        own.period = period;
        own
    }

    /// The first period of a season.
    fn begin(season: Secret, number: u64) -> Self {
        Self {
            period: number * SEASON,
            secret: season.derive("octavia tickets 1: first period", &[]),
            season: season.derive("octavia tickets 1: next season", &[]),
        }
    }

    pub const fn period(&self) -> u64 {
        self.period
    }

    /// The same when this period has come; one that is over already changes nothing.
    #[must_use]
    pub fn at(&self, period: u64) -> Self {
        let period = period.min(PERIOD_MAX);
        let mut at = self.clone();
        while at.period / SEASON < period / SEASON {
            at = Self::begin(at.season.clone(), at.period / SEASON + 1);
        }
        while at.period < period {
            at.secret = at.secret.derive("octavia tickets 1: next period", &[]);
            at.period += 1;
        }
        at
    }

    /// The key of its period for whoever seals tickets of `purpose`.
    pub fn key(&self, purpose: &[u8]) -> TicketKey {
        TicketKey(self.secret.derive("octavia tickets 1: key", &[purpose]))
    }

    /// Whether both lead to the same keys.
    pub fn is_of_one_origin(&self, other: &Self) -> bool {
        let period = self.period.max(other.period);
        let told = |spec: &Self| {
            let at = spec.at(period);
            let mut mac = mac(&at.secret.0);
            mac.update(&at.season.0);
            mac
        };
        // In constant time.
        told(self).verify(&told(other).finalize().into_bytes()).is_ok()
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        match self.period {
            0..=PERIOD_MAX => Ok(()),
            value => {
                Err(SpecError::Range { what: "the period of ticket keys", value, allowed: "0-4294967295" })
            }
        }
    }
}

impl AmphoraSpec {
    /// Forgets what leads to keys of tickets that are not opened any more; answers whether there was any. `now` is in
    /// seconds since 1970.
    pub fn turn_tickets(&mut self, now: u64) -> bool {
        let first = TicketSpec::first_at(now);
        match &mut self.tickets {
            Some(tickets) if tickets.period < first => {
                *tickets = tickets.at(first);
                true
            }
            _ => false,
        }
    }
}

impl fmt::Debug for TicketSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketSpec(<secret> from period {})", self.period)
    }
}

/// A key to seal tickets with; never shown, zeroed when it goes.
#[derive(Clone)]
pub struct TicketKey(Secret);

impl TicketKey {
    /// For an AEAD; it must not be logged or stored.
    pub const fn reveal(&self) -> &[u8; SECRET] {
        &self.0.0
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(<secret>)")
    }
}

/// As it crosses the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename = "TicketSpec")]
struct Written {
    period: u64,
    secret: Secret,
    season: Secret,
}

impl Serialize for TicketSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { period, secret, season } = self.clone();
        Written { period, secret, season }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TicketSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { period, secret, season } = Written::deserialize(deserializer)?;
        Ok(Self { period, secret, season })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&zeroize::Zeroizing::new(STANDARD.encode(self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let mut bytes = zeroize::Zeroizing::new([0; SECRET + 1]);
        // What is wrong with it is not said: an error must not repeat a byte of a secret.
        match STANDARD.decode_slice(text.as_bytes(), &mut *bytes) {
            Ok(SECRET) => {
                let mut secret = Self([0; SECRET]);
                secret.0.copy_from_slice(&bytes[..SECRET]);
                Ok(secret)
            }
            _ => Err(D::Error::custom("a secret is not 32 bytes in base64")),
        }
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::TypedUuid;

    use super::*;
    use crate::fixtures;

    fn lb(n: u128) -> LoadBalancerId {
        TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    fn key(spec: &TicketSpec, purpose: &[u8]) -> [u8; SECRET] {
        *spec.key(purpose).reveal()
    }

    #[test]
    fn times_have_periods() {
        for (seconds, period) in
            [(0, 0), (21_599, 0), (21_600, 1), (1_795_747_391, 83_136), (u64::MAX, u64::MAX / 21_600)]
        {
            assert_eq!(TicketSpec::period_at(seconds), period);
        }
    }

    #[test]
    fn wherever_it_is_taken_up_it_leads_to_the_same() {
        let root = TicketRoot::new(&[7; SECRET]);
        // From, to: within a season, over its end, over several, and standing still.
        for (from, to) in
            [(0, 1), (5, 255), (255, 256), (0, 256), (200, 70_000), (83_136, 83_136), (83_136, 83_137)]
        {
            let (early, late) = (root.of(lb(1), from), root.of(lb(1), to));
            assert_eq!((early.period(), late.period()), (from, to));
            assert!(early.at(to) == late, "{from} {to}");
            assert!(early.is_of_one_origin(&late) && late.is_of_one_origin(&early), "{from} {to}");
            assert_eq!(key(&early.at(to), b"x"), key(&late, b"x"));
            // There is no way back.
            assert!(late.at(from) == late);
        }
        let own = TicketSpec::own([1; SECRET], 83_100);
        assert_eq!(own.period(), 83_100);
        assert!(own.at(83_300).at(84_000) == own.at(84_000));
    }

    #[test]
    fn everything_else_has_another_key() {
        let root = TicketRoot::new(&[7; SECRET]);
        let spec = root.of(lb(1), 300);
        let others = [
            key(&spec, b"y"),
            key(&spec, b""),
            key(&spec.at(301), b"x"),
            key(&spec.at(512), b"x"),
            key(&root.of(lb(1), 299), b"x"),
            key(&root.of(lb(2), 300), b"x"),
            key(&TicketRoot::new(&[8; SECRET]).of(lb(1), 300), b"x"),
            key(&TicketSpec::own([7; SECRET], 300), b"x"),
        ];
        assert!(!others.contains(&key(&spec, b"x")));
        for other in [root.of(lb(2), 300), TicketRoot::new(&[8; SECRET]).of(lb(1), 10)] {
            assert!(!spec.is_of_one_origin(&other) && !other.is_of_one_origin(&spec));
        }
    }

    /// Controllers and proxies of all versions share these.
    #[test]
    fn keys_stay_what_they_are() {
        let spec = TicketRoot::new(&[7; SECRET]).of(lb(1), 83_136);
        assert_eq!(STANDARD.encode(key(&spec, b"x")), "B1CTT1j/1iC5DOqXIcTx7COD23wBgErjhAmGzblDNp4=");
        assert_eq!(
            STANDARD.encode(key(&spec.at(83_500), b"x")),
            "UguCUH4ym61z/kOZxP6AUmgupj7IYH4pEPqyLZ1Jgaw="
        );
    }

    #[test]
    fn far_away_is_not_far() {
        let spec = TicketRoot::new(&[7; SECRET]).of(lb(1), 0);
        assert_eq!(spec.at(11_700_000).period(), 11_700_000, "of the year 9978");
        let mut late = spec;
        late.period = PERIOD_MAX;
        assert_eq!(late.at(u64::MAX).period(), PERIOD_MAX);
        let mut amphora = fixtures::spec(vec![]);
        amphora.tickets = Some(late.clone());
        assert_eq!(amphora.validate(), Ok(()));
        late.period += 1;
        amphora.tickets = Some(late);
        assert!(matches!(amphora.validate(), Err(SpecError::Range { value: 0x1_0000_0000, .. })));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let root = TicketRoot::new(&[7; SECRET]);
        let mut spec = fixtures::spec(vec![]);
        assert!(!spec.turn_tickets(u64::MAX));
        spec.tickets = Some(root.of(lb(1), 9));
        for (seconds, turned, period) in [
            (0, false, 9),
            (11 * TicketSpec::PERIOD - 1, false, 9),
            (11 * TicketSpec::PERIOD, true, 10),
            (11 * TicketSpec::PERIOD, false, 10),
            (10 * TicketSpec::PERIOD, false, 10),
            (301 * TicketSpec::PERIOD, true, 300),
        ] {
            assert_eq!(spec.turn_tickets(seconds), turned, "{seconds}");
            assert_eq!(spec.tickets, Some(root.of(lb(1), period)), "{seconds}");
        }
    }

    #[test]
    fn it_crosses_the_wire_and_is_not_shown() {
        let root = TicketRoot::new(b"QzX7 is secret and of 32 bytes!!");
        let mut spec = fixtures::spec(vec![]);
        spec.tickets = Some(TicketSpec::own(*b"QzX7 is secret and of 32 bytes!!", 5));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<AmphoraSpec>(&text).unwrap(), spec);
        let tickets = spec.tickets.as_ref().unwrap();
        for shown in [format!("{spec:?}"), format!("{root:?}"), format!("{:?}", tickets.key(b"x"))] {
            assert!(shown.contains("<secret>") && !shown.contains("QzX7"), "{shown}");
            assert!(!shown.contains(&format!("{:?}", &tickets.secret.0[..4])), "{shown}");
        }
        let secret = STANDARD.encode(tickets.secret.0);
        for broken in ["", "QzX7~", &secret[4..], &format!("AAAA{secret}"), &STANDARD.encode([1; 33])] {
            let broken = text.replace(&secret, broken);
            let error = serde_json::from_str::<AmphoraSpec>(&broken).unwrap_err().to_string();
            assert!(error.contains("is not 32 bytes") && !error.contains("QzX7"), "{error}");
        }
        // Of before there were any.
        spec.tickets = None;
        let text = serde_json::to_string(&spec).unwrap();
        assert!(!text.contains("tickets"));
        assert_eq!(serde_json::from_str::<AmphoraSpec>(&text).unwrap(), spec);
    }
}
