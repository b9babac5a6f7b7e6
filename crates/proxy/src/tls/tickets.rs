//! Session tickets (RFC 5077, RFC 8446 §4.6.1): what a session takes to be resumed, sealed and given to its client.
//!
//! Keys follow from what the spec says (`TicketSpec`), from the time, and from how the listener terminates TLS: so every
//! amphora of the load balancer has the same, and a session is not resumed past the terms it was made under. Without it in
//! the spec they are this process's own.
//!
//! A ticket is `period (4) | nonce (12) | sealed (until (8) | what the library wants back) | tag (16)`.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use octavia_wire::{TicketSpec, TlsError};
use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use super::fingerprint::Fingerprint;
use super::visit;

/// Seconds that clients are told a ticket is good for: the rest of its period, and the one after that.
const LIFETIME: u32 = 2 * TicketSpec::PERIOD as u32;
/// Seconds after its handshake in full for which a session is resumed, however often: of TLS 1.2, all that is said in it
/// can be read by who learns one secret.
const SESSION_MAX: u64 = 24 * 60 * 60;

const PERIOD: usize = 4;
const UNTIL: usize = 8;
const HEAD: usize = PERIOD + NONCE_LEN;

/// Seals tickets and opens them.
pub(super) struct Tickets {
    purpose: Fingerprint,
    /// The spec says what keys follow from.
    are_shared: bool,
    keys: ArcSwap<Keys>,
    clock: Arc<dyn TimeProvider>,
    random: &'static dyn SecureRandom,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("are_shared", &self.are_shared).finish_non_exhaustive()
    }
}

impl Tickets {
    pub(super) fn new(
        spec: Option<&TicketSpec>,
        purpose: Fingerprint,
        clock: Arc<dyn TimeProvider>,
        random: &'static dyn SecureRandom,
    ) -> Result<Self, TlsError> {
        let period = TicketSpec::period_at(now(&*clock));
        let own = match spec {
            Some(_) => None,
            None => {
                let mut entropy = [0; TicketSpec::ENTROPY];
                random.fill(&mut entropy).map_err(|_| TlsError::Unusable("source of randomness"))?;
                Some(TicketSpec::own(entropy, period))
            }
        };
        let keys = spec.or(own.as_ref()).and_then(|spec| Keys::begin(spec, &purpose, period));
        let keys = ArcSwap::from_pointee(keys.ok_or(TlsError::Unusable("key for session tickets"))?);
        Ok(Self { purpose, are_shared: spec.is_some(), keys, clock, random })
    }

    /// Whether one of this spec would go on where this is. One that a wrong clock has led ahead of the time would not: it
    /// cannot go back.
    pub(super) fn is_of(&self, spec: Option<&TicketSpec>) -> bool {
        let Some(spec) = spec else { return !self.are_shared };
        let keys = self.keys.load();
        let period = TicketSpec::period_at(now(&*self.clock)).max(spec.period());
        self.are_shared && keys.period <= period && keys.onward.is_of_one_origin(spec)
    }

    /// Keys of this time. Once they have moved on they do not go back, whatever the clock does.
    fn keys_at(&self, now: u64) -> Arc<Keys> {
        let period = TicketSpec::period_at(now);
        let keys = self.keys.load_full();
        if period <= keys.period {
            return keys;
        }
        // Whichever thread comes first: the others find what it has made.
        self.keys.rcu(|keys| match period <= keys.period {
            true => Arc::clone(keys),
            false => keys.turn(&self.purpose, period).map_or_else(|| Arc::clone(keys), Arc::new),
        });
        self.keys.load_full()
    }

    fn seal(&self, message: &[u8]) -> Option<Vec<u8>> {
        let now = now(&*self.clock);
        let keys = self.keys_at(now);
        let until = visit::until().min(now.saturating_add(SESSION_MAX));
        if until <= now {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let period = u32::try_from(keys.period).ok()?.to_be_bytes();
        let mut ticket = [&period[..], &nonce, &until.to_be_bytes(), message].concat();
        let key = keys.of(keys.period)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(period), &mut ticket[HEAD..]).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = now(&*self.clock);
        let (period, rest) = ticket.split_first_chunk::<PERIOD>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys_at(now);
        let key = keys.of(u32::from_be_bytes(*period).into())?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(period), &mut opened).ok()?.len();
        opened.truncate(length);
        let until = u64::from_be_bytes(*opened.first_chunk::<UNTIL>()?);
        if until <= now {
            return None;
        }
        // So does what is sealed of the resumed session.
        visit::holds_until(until);
        opened.drain(..UNTIL);
        Some(opened)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    /// `None` = what the client has proved does not hold any more, or there is no randomness.
    fn encrypt(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.seal(message)
    }

    /// `None` = the handshake is one in full.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket)
    }
}

fn now(clock: &dyn TimeProvider) -> u64 {
    clock.current_time().map_or(0, |now| now.as_secs())
}

/// Keys of three periods in a row; what those of earlier ones followed from is gone.
struct Keys {
    /// That of the second: with its key is sealed.
    period: u64,
    /// Clocks of amphorae differ: some are in the next period already.
    keys: [Option<Arc<LessSafeKey>>; 3],
    /// Of the periods after these.
    onward: TicketSpec,
}

impl Keys {
    /// Before its own period a spec has no keys: one whose clock is behind begins there.
    fn begin(spec: &TicketSpec, purpose: &Fingerprint, period: u64) -> Option<Self> {
        let period = period.max(spec.period());
        let known = |period| (period >= spec.period()).then(|| spec.at(period));
        let key = |period: u64| key(&known(period)?, purpose);
        let keys = [period.checked_sub(1).and_then(key), key(period), key(period + 1)];
        keys[1].is_some().then(|| Self { period, keys, onward: spec.at(period + 2) })
    }

    /// The same in a later period.
    fn turn(&self, purpose: &Fingerprint, period: u64) -> Option<Self> {
        let made = |period| {
            (period >= self.onward.period()).then(|| key(&self.onward.at(period), purpose)).flatten()
        };
        let keys =
            [period - 1, period, period + 1].map(|period| self.of(period).cloned().or_else(|| made(period)));
        keys[1].is_some().then(|| Self { period, keys, onward: self.onward.at(period + 2) })
    }

    fn of(&self, period: u64) -> Option<&Arc<LessSafeKey>> {
        let place = (period + 1).checked_sub(self.period)?;
        self.keys.get(usize::try_from(place).ok()?)?.as_ref()
    }
}

/// Many amphorae seal with it, each with random nonces: two that are the same by chance must not give it away (RFC 8452).
fn key(spec: &TicketSpec, purpose: &Fingerprint) -> Option<Arc<LessSafeKey>> {
    let key = UnboundKey::new(&AES_256_GCM_SIV, spec.key(purpose.bytes()).reveal()).ok()?;
    Some(Arc::new(LessSafeKey::new(key)))
}
