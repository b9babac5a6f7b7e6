//! Listening sockets: one for each traffic thread and address, sharing the port (`SO_REUSEPORT`); of datagrams, one for
//! each address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use octavia_model::Transport;
use octavia_wire::{AmphoraSpec, SocketName};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel completes and keeps for us before we accept them, at most.
const BACKLOG: i32 = 4096;

/// The sockets a spec asks for when `threads` threads carry traffic.
pub fn socket_names(spec: &AmphoraSpec, threads: u16) -> Vec<SocketName> {
    SocketName::wanted(spec, threads).collect()
}

/// A non-blocking socket of this name.
pub fn open(name: &SocketName) -> io::Result<OwnedFd> {
    if name.transport == Transport::Udp { bind_datagram(name.address) } else { bind(name.address) }
}

/// A non-blocking socket for datagrams, shared with nobody.
pub fn bind_datagram(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket =
        Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A non-blocking listening socket.
pub fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    rustix::net::sockopt::set_socket_reuseport(socket.as_fd(), true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
