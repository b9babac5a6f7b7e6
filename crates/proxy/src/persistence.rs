//! How a client comes back to the member that served it, as with HAProxy (`reference/amphora.md` §9.4).
//!
//! A client's *claim* is what its request says of the member it wants; the pool grants it if that member is still there,
//! enabled and not down. Weights do not matter: a member that is being drained keeps its clients. Nor is a backup too
//! little for a client that it has served.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use newtype_uuid::GenericUuid;
use octavia_model::MemberId;
use octavia_wire::{PersistenceSpec, StickSubject as Subject};
use uuid::Uuid;

use crate::balance::Peer;
use crate::http1::{AFFINITY_COOKIE, Affinity, Request, Response, value};
use crate::snapshot::MemberConf;
use crate::stick::{StickKey, StickTable};

/// A pool's session persistence.
#[derive(Debug)]
pub(crate) struct Persistence {
    kind: Kind,
    /// Where in the pool a member is.
    places: HashMap<MemberId, u16>,
}

#[derive(Debug)]
enum Kind {
    SourceIp { granularity: Option<IpAddr>, timeout: Option<u64>, table: Arc<StickTable> },
    HttpCookie,
    AppCookie { name: Box<str>, table: Arc<StickTable> },
}

/// What a request says of the member it wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing, or what is not understood.
    #[default]
    None,
    Member(MemberId),
    Entry(StickKey),
}

impl Persistence {
    /// `table` finds the table of a subject, or makes it: a pool that changes its subject starts with an empty one.
    pub(crate) fn compile(
        spec: &PersistenceSpec,
        members: &[MemberConf],
        table: impl FnOnce(Subject) -> Arc<StickTable>,
    ) -> Self {
        let kind = match spec {
            PersistenceSpec::SourceIp { granularity, timeout } => Kind::SourceIp {
                granularity: *granularity,
                timeout: (*timeout > 0).then(|| u64::from(*timeout) * 1_000),
                table: table(Subject::Address(*granularity)),
            },
            PersistenceSpec::HttpCookie => Kind::HttpCookie,
            PersistenceSpec::AppCookie { name } => {
                Kind::AppCookie { name: name.as_str().into(), table: table(Subject::Cookie(name.clone())) }
            }
        };
        // A spec has no more members than there are places.
        let places = members.iter().enumerate().map(|(place, member)| (member.id, place as u16)).collect();
        Self { kind, places }
    }

    /// Reads what a request claims. A cookie of ours is not for members: it is taken out.
    pub(crate) fn claim(&self, request: &mut Request<'_, '_>) -> Claim {
        match &self.kind {
            Kind::SourceIp { .. } => Claim::None,
            Kind::HttpCookie => {
                request.hide_affinity();
                let cookies = request.values("cookie").flat_map(value::cookies);
                let ours = cookies.filter(|(name, _)| *name == AFFINITY_COOKIE);
                // Of several, the first that names one of ours.
                let mut named = ours.filter_map(|(_, text)| member(text));
                named.find(|id| self.places.contains_key(id)).map_or(Claim::None, Claim::Member)
            }
            Kind::AppCookie { name, table } => {
                let cookies = request.values("cookie").flat_map(value::elements).flat_map(value::cookies);
                let last = cookies.filter(|cookie| is_called(cookie, name)).last();
                last.map_or(Claim::None, |(_, text)| Claim::Entry(table.key(text)))
            }
        }
    }

    /// Whether a cookie of ours is inserted; `None` = clients are not known by one.
    pub(crate) fn cookie(&self) -> Option<bool> {
        match &self.kind {
            Kind::SourceIp { .. } => None,
            Kind::HttpCookie => Some(true),
            Kind::AppCookie { .. } => Some(false),
        }
    }

    /// The place of the member that a client shall come back to, if that can take it; none of `tried`. `now` is in
    /// milliseconds.
    pub(crate) fn granted(
        &self,
        members: &[MemberConf],
        client: IpAddr,
        claim: Claim,
        tried: &[u16],
        now: u64,
    ) -> Option<u16> {
        let id = match (&self.kind, claim) {
            (Kind::SourceIp { granularity, timeout, table }, _) => {
                table.get(table.key(network(client, *granularity)), now, *timeout)?
            }
            (Kind::HttpCookie, Claim::Member(id)) => id,
            (Kind::AppCookie { table, .. }, Claim::Entry(key)) => table.get(key, now, None)?,
            _ => return None,
        };
        let place = *self.places.get(&id)?;
        (members[usize::from(place)].is_well() && !tried.contains(&place)).then_some(place)
    }

    /// A client without a member to come back to was given this one.
    pub(crate) fn given(&self, client: IpAddr, member: MemberId, now: u64) {
        if let Kind::SourceIp { granularity, timeout, table } = &self.kind {
            table.put(table.key(network(client, *granularity)), member, now, *timeout);
        }
    }

    /// Sees a response of `member` on its way: learns its cookie, or adds ours, unless the client has `claimed` this
    /// member. `safe` = the request's method is.
    pub(crate) fn answered(
        &self,
        response: &mut Response<'_, '_>,
        member: MemberId,
        claimed: bool,
        safe: bool,
        now: u64,
    ) {
        match &self.kind {
            Kind::SourceIp { .. } => {}
            Kind::HttpCookie => {
                let mut value = [0; 36];
                member.into_untyped_uuid().as_hyphenated().encode_lower(&mut value);
                let affinity = || Affinity { value, private: response.may_be_cached(safe) };
                let affinity = (!claimed).then(affinity);
                response.set_affinity(affinity);
            }
            Kind::AppCookie { name, table } => {
                let set = response.values("set-cookie").filter_map(|text| value::cookies(text).next());
                if let Some((_, text)) = set.filter(|cookie| is_called(cookie, name)).last() {
                    table.put(table.key(text), member, now, None);
                }
            }
        }
    }
}

/// A cookie without a value says nothing.
fn is_called(cookie: &(&[u8], &[u8]), name: &str) -> bool {
    cookie.0 == name.as_bytes() && !cookie.1.is_empty()
}

/// Exactly as we write it.
fn member(text: &[u8]) -> Option<MemberId> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 36)?;
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok().map(MemberId::from_untyped_uuid)
}

/// The network an address is in; of an address of another family than the mask, the address.
fn network(address: IpAddr, mask: Option<IpAddr>) -> u128 {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let address = address.to_canonical();
    match mask {
        Some(IpAddr::V4(mask)) if address.is_ipv4() => {
            bits(address) & (u128::from(mask.to_bits()) | !0xffff_ffff)
        }
        Some(IpAddr::V6(mask)) if address.is_ipv6() => bits(address) & mask.to_bits(),
        _ => bits(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (a, b, mask, same) in [
            ("192.0.2.1", "192.0.2.1", "", true),
            ("192.0.2.1", "192.0.2.2", "", false),
            ("192.0.2.1", "192.0.2.254", "255.255.255.0", true),
            ("192.0.2.1", "192.0.3.1", "255.255.255.0", false),
            ("192.0.2.1", "::ffff:192.0.2.9", "255.255.255.0", true),
            ("192.0.2.1", "198.51.100.1", "0.0.0.0", true),
            // Not a prefix, but as clear as one.
            ("192.0.2.1", "192.7.2.1", "255.0.255.255", true),
            ("192.0.2.1", "192.0.2.2", "ffff::", false),
            ("2001:db8::1", "2001:db8::2", "", false),
            ("2001:db8::1", "2001:db8:1::2", "ffff:ffff::", true),
            ("2001:db8::1", "2001:db9::1", "ffff:ffff::", false),
            ("2001:db8::1", "2001:db8::2", "255.255.0.0", false),
            ("::", "0.0.0.0", "0.0.0.0", false),
        ] {
            let network = |address: &str| network(address.parse().unwrap(), mask.parse().ok());
            assert_eq!(network(a) == network(b), same, "{a} {b} {mask}");
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = "0190a1b2-c3d4-7e5f-8899-aabbccddeeff";
        assert_eq!(member(id.as_bytes()).unwrap().to_string(), id);
        for other in
            [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("{id} "), String::new()]
        {
            assert_eq!(member(other.as_bytes()), None, "{other}");
        }
    }
}
