//! Listening sockets: opened here and lent to the proxy, so that they outlive it and connections wait in them while
//! another proxy starts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use octavia_model::{ListenerId, ReasonCode, Transport};
use octavia_wire::channel::MAX_FDS;
use octavia_wire::{AmphoraSpec, ListenerFault, SocketName};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel completes and keeps while nobody accepts them, for each socket, at most (the kernel's
/// `net.core.somaxconn` bounds it further).
const BACKLOG: i32 = 4096;

/// Every listening socket of this amphora, by name.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: BTreeMap<SocketName, Arc<OwnedFd>>,
}

/// The sockets a spec asks for: one for each traffic thread on each address of each listener, of datagrams one on each
/// address.
pub(crate) fn wanted(spec: &AmphoraSpec, threads: u16) -> BTreeSet<SocketName> {
    SocketName::wanted(spec, threads).collect()
}

/// Descriptors that are no listening sockets: the door's connections, and files of the moment.
const OTHER_FILES: u64 = 256;

/// How many listening sockets there may be: more would leave none to be spoken with. `files` = the process's limit.
pub(crate) fn most(files: Option<u64>) -> usize {
    let spare = files.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    usize::try_from(spare).map_or(MAX_FDS, |spare| spare.min(MAX_FDS))
}

impl Sockets {
    /// Whether something is wanted and not there.
    pub(crate) fn lack(&self, wanted: &BTreeSet<SocketName>) -> bool {
        wanted.iter().any(|name| !self.held.contains_key(name))
    }

    /// Opens what is wanted and not there, in the calling thread's namespace; what cannot be opened is told, one fault for each
    /// listener and address. On addresses that are `plumbed` by the agent sockets are open before these are there: whoever
    /// stands by for another has none of them.
    pub(crate) fn open(
        &mut self,
        wanted: &BTreeSet<SocketName>,
        plumbed: &BTreeSet<IpAddr>,
    ) -> Vec<ListenerFault> {
        let mut faults: Vec<ListenerFault> = vec![];
        for name in wanted {
            let failed = faults
                .last()
                .is_some_and(|fault| fault.listener == name.listener && fault.address == name.address.ip());
            if failed || self.held.contains_key(name) {
                continue;
            }
            // Sharing a port is only for our own threads, and for a listener that follows on another: somebody else's
            // socket on it, even one that would share, means that it is taken.
            let ours = |held: &SocketName| held.address == name.address && held.transport == name.transport;
            let ours = self.held.keys().any(ours);
            let plumbed = plumbed.contains(&name.address.ip());
            let opened = if ours { Ok(()) } else { probe(name, plumbed) };
            let opened = opened.and_then(|()| listen(name, plumbed));
            match opened {
                Ok(fd) => {
                    self.held.insert(*name, Arc::new(fd));
                }
                Err(error) => faults.push(fault(name.listener, name.address, &error)),
            }
        }
        faults
    }

    /// Takes back sockets from a proxy that outlived an agent.
    pub(crate) fn adopt(&mut self, sockets: impl IntoIterator<Item = (SocketName, OwnedFd)>) {
        for (name, fd) in sockets {
            self.held.entry(name).or_insert_with(|| Arc::new(fd));
        }
    }

    /// Closes what is not wanted.
    pub(crate) fn retain(&mut self, wanted: &BTreeSet<SocketName>) {
        self.held.retain(|name, _| wanted.contains(name));
    }

    pub(crate) fn get(&self, name: &SocketName) -> Option<&Arc<OwnedFd>> {
        self.held.get(name)
    }
}

/// `plumbed` = it may be bound to an address that is not there.
fn socket(SocketName { address, transport, .. }: &SocketName, plumbed: bool) -> io::Result<Socket> {
    let datagrams = *transport == Transport::Udp;
    let (kind, protocol) =
        if datagrams { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    // What has come waits for whoever has the socket; neither agent nor proxy may block on it.
    let socket = Socket::new(Domain::for_address(*address), kind.nonblocking().cloexec(), Some(protocol))?;
    // Of connections that have ended; sockets for datagrams would share their port by it.
    socket.set_reuse_address(!datagrams)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(plumbed)?;
    } else {
        socket.set_freebind_v4(plumbed)?;
    }
    Ok(socket)
}

/// Whether anybody listens there: a socket that shares its port conflicts with one that does not.
fn probe(name: &SocketName, plumbed: bool) -> io::Result<()> {
    socket(name, plumbed)?.bind(&name.address.into())
}

fn listen(name: &SocketName, plumbed: bool) -> io::Result<OwnedFd> {
    let socket = socket(name, plumbed)?;
    socket.set_reuse_port(true)?;
    socket.bind(&name.address.into())?;
    if name.transport == Transport::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// What an error of bind(2) or listen(2) means to a user.
fn fault(listener: ListenerId, address: SocketAddr, error: &io::Error) -> ListenerFault {
    let port = address.port();
    let (code, text, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied if port < 1024 => (
            ReasonCode::PortNotPermitted,
            format!(
                "port {port} is below 1024, and the load balancer runs without the privilege to listen there"
            ),
            format!(
                "Choose a port from 1024 up, or run with CAP_NET_BIND_SERVICE, or allow it on this machine: \
                 sysctl net.ipv4.ip_unprivileged_port_start={port}"
            ),
        ),
        io::ErrorKind::AddrInUse => (
            ReasonCode::PortInUse,
            format!("another process listens on {address} already"),
            "End that process, or choose another port; it is tried again by itself.".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            ReasonCode::Internal,
            format!("{} is not an address of the amphora", address.ip()),
            "The address is still to be plugged, or was taken away; it is tried again by itself.".to_owned(),
        ),
        _ => (
            ReasonCode::Internal,
            format!("cannot listen on {address}: {error}"),
            "It is tried again by itself.".to_owned(),
        ),
    };
    ListenerFault { listener, address: address.ip(), code, text, advice }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_become_reasons() {
        for (errno, address, code, text, advice) in [
            (
                Errno::ACCESS,
                "127.1.0.1:80",
                ReasonCode::PortNotPermitted,
                "below 1024",
                "ip_unprivileged_port_start=80",
            ),
            (Errno::ACCESS, "127.1.0.1:8080", ReasonCode::Internal, "cannot listen", "tried again"),
            (Errno::ADDRINUSE, "127.1.0.1:80", ReasonCode::PortInUse, "127.1.0.1:80", "another port"),
            (Errno::ADDRNOTAVAIL, "192.0.2.1:80", ReasonCode::Internal, "not an address", "plugged"),
            (Errno::MFILE, "127.1.0.1:80", ReasonCode::Internal, "open files", "tried again"),
        ] {
            let address = address.parse().unwrap();
            let fault = fault(ListenerId::nil(), address, &errno.into());
            assert_eq!((fault.code, fault.address), (code, address.ip()));
            assert!(fault.text.contains(text), "{}", fault.text);
            assert!(fault.advice.contains(advice), "{}", fault.advice);
        }
    }

    fn open(sockets: &mut Sockets, wanted: &BTreeSet<SocketName>) -> Vec<ListenerFault> {
        let lacked = sockets.lack(wanted);
        let faults = sockets.open(wanted, &BTreeSet::new());
        assert!(lacked || faults.is_empty());
        assert_eq!(sockets.lack(wanted), !faults.is_empty());
        faults
    }

    #[test]
    fn what_is_plumbed_here_may_be_elsewhere_yet() {
        for address in ["192.0.2.1:80", "[2001:db8::1]:80"] {
            for transport in [Transport::Tcp, Transport::Udp] {
                let address: SocketAddr = address.parse().unwrap();
                let name = SocketName {
                    transport,
                    address: SocketAddr::new(address.ip(), 8080),
                    ..name(address, 0)
                };
                let wanted = BTreeSet::from([name]);
                let mut sockets = Sockets::default();
                let [fault] = &sockets.open(&wanted, &BTreeSet::new())[..] else { panic!("{name:?}") };
                assert!(fault.text.ends_with("is not an address of the amphora"), "{}", fault.text);
                assert_eq!(sockets.open(&wanted, &BTreeSet::from([address.ip()])), []);
                assert!(!sockets.lack(&wanted));
            }
        }
    }

    fn name(address: SocketAddr, index: u16) -> SocketName {
        SocketName { listener: ListenerId::nil(), address, index, transport: Transport::Tcp }
    }

    fn names(address: SocketAddr, threads: u16) -> BTreeSet<SocketName> {
        (0..threads).map(|index| name(address, index)).collect()
    }

    /// On an address that no other test process uses: ports of 127.0.0.1 come and go.
    fn free_port() -> SocketAddr {
        let [.., high, low] = std::process::id().to_be_bytes();
        TcpListener::bind((Ipv4Addr::new(127, 99, high, low), 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn opens_once_and_for_every_thread() {
        let mut sockets = Sockets::default();
        let wanted = names(free_port(), 3);
        assert_eq!(open(&mut sockets, &wanted), []);
        let before: Vec<_> = wanted.iter().map(|name| Arc::clone(sockets.get(name).unwrap())).collect();
        assert_eq!(open(&mut sockets, &wanted), []);
        for (name, before) in wanted.iter().zip(&before) {
            assert!(Arc::ptr_eq(sockets.get(name).unwrap(), before));
        }
        sockets.retain(&BTreeSet::new());
        assert!(wanted.iter().all(|name| sockets.get(name).is_none()));
    }

    #[test]
    fn a_port_taken_by_a_stranger_is_in_use_until_he_goes() {
        for (transport, shares) in
            [Transport::Tcp, Transport::Udp].into_iter().flat_map(|t| [(t, false), (t, true)])
        {
            let name = SocketName { transport, ..name(free_port(), 0) };
            let stranger = socket(&name, false).unwrap();
            stranger.set_reuse_port(shares).unwrap();
            stranger.bind(&name.address.into()).unwrap();
            if transport == Transport::Tcp {
                stranger.listen(1).unwrap();
            }
            let mut sockets = Sockets::default();
            let faults = open(&mut sockets, &BTreeSet::from([name]));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].code, ReasonCode::PortInUse);
            drop(stranger);
            assert_eq!(open(&mut sockets, &BTreeSet::from([name])), []);
        }
    }

    #[test]
    fn a_port_is_tcps_and_udps() {
        let tcp = name(free_port(), 0);
        let udp = SocketName { transport: Transport::Udp, ..tcp };
        let mut sockets = Sockets::default();
        assert_eq!(open(&mut sockets, &BTreeSet::from([tcp, udp])), []);
        // Neither is ours for the other's sake.
        sockets.retain(&BTreeSet::from([tcp]));
        let _stranger = std::net::UdpSocket::bind(udp.address).unwrap();
        assert_eq!(open(&mut sockets, &BTreeSet::from([udp])).len(), 1);
    }

    #[test]
    fn one_address_that_fails_does_not_spoil_the_other() {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let (taken, free) = (stranger.local_addr().unwrap(), free_port());
        let mut sockets = Sockets::default();
        let wanted = names(taken, 2).into_iter().chain(names(free, 2)).collect();
        assert_eq!(open(&mut sockets, &wanted).len(), 1);
        assert!(names(free, 2).iter().all(|name| sockets.get(name).is_some()));
    }

    #[test]
    fn some_descriptors_are_left_for_others() {
        for (files, expected) in
            [(None, 4096), (Some(1 << 20), 4096), (Some(1024), 768), (Some(256), 0), (Some(0), 0)]
        {
            assert_eq!(most(files), expected, "{files:?}");
        }
    }

    #[test]
    fn another_listener_may_follow_on_the_same_port() {
        let address = free_port();
        let mut sockets = Sockets::default();
        assert_eq!(open(&mut sockets, &names(address, 2)), []);
        let next = SocketName { listener: ListenerId::new_v4(), ..name(address, 0) };
        assert_eq!(open(&mut sockets, &BTreeSet::from([next])), []);
    }
}
