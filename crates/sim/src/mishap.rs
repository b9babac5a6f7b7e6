//! What goes wrong in the world without anybody of ours having a part in it.

use newtype_uuid::GenericUuid;
use octavia_cloud::ServerState;
use octavia_model::{AmphoraId, LoadBalancerId};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The next listings tell what was true a while ago.
    OldListings,
    /// No room for further servers; or room again.
    Full(bool),
    /// Somebody removes the port of an address.
    AddressLost,
    ServerStops,
    /// Somebody removes a server.
    ServerVanishes,
    /// The compute service gives a server up.
    ServerBreaks,
    /// An agent hangs; its data plane goes on.
    AgentHangs,
    /// A data plane ends and cannot be started again, such as when its program is gone; its agent goes on.
    ProxyGone,
    /// Agent and data plane are started again.
    AmphoraRestarts,
    /// Controllers cannot reach an agent, which beats on; or can again.
    Unreachable(bool),
    /// The beats of an agent get lost, which can be reached; or arrive again.
    Mute(bool),
    /// The members behind an amphora fail their checks; or are good again.
    MembersDown(bool),
}

impl Mishap {
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let chance = rng.random_bool(0.5);
        match rng.random_range(0..12) {
            0 => Self::OldListings,
            1 => Self::Full(chance),
            2 => Self::AddressLost,
            3 => Self::ServerStops,
            4 => Self::ServerVanishes,
            5 => Self::ServerBreaks,
            6 => Self::AgentHangs,
            7 => Self::AmphoraRestarts,
            8 => Self::Unreachable(chance),
            9 => Self::Mute(chance),
            10 => Self::ProxyGone,
            _ => Self::MembersDown(chance),
        }
    }

    /// Happens, to somebody chosen by chance; to nobody if there is nobody.
    pub(crate) fn happen(self, world: &World, rng: &mut StdRng) {
        let now = world.gates.now();
        let mut state = world.state();
        state.boot(now);
        let lbs: Vec<LoadBalancerId> = state.vips.keys().copied().collect();
        let ids: Vec<AmphoraId> = state.servers.keys().copied().collect();
        let (lb, id) = (lbs.choose(rng).copied(), ids.choose(rng).copied());
        let whom = match (self, lb, id) {
            (Self::OldListings, ..) => {
                state.make_listings_stale();
                String::new()
            }
            (Self::Full(full), ..) => {
                state.full = full;
                String::new()
            }
            (Self::AddressLost, Some(lb), _) => {
                let lost = state.vips.remove(&lb).map(|vip| vip.address);
                state.lost.extend(lost);
                world.journal.name("lb", lb.into_untyped_uuid())
            }
            (Self::ServerVanishes, _, Some(id)) => {
                state.servers.remove(&id);
                world.journal.name("amp", id.into_untyped_uuid())
            }
            (_, _, Some(id)) if self != Self::AddressLost => {
                let Some(server) = state.servers.get_mut(&id) else { return };
                match self {
                    Self::ServerStops | Self::ServerBreaks => {
                        let stops = self == Self::ServerStops;
                        server.state = if stops { ServerState::Stopped } else { ServerState::Error };
                        server.agent.alive = false;
                        server.agent.carries = false;
                    }
                    Self::AgentHangs => server.agent.alive = false,
                    Self::ProxyGone => {
                        server.agent.no_proxy = true;
                        server.agent.carries = false;
                    }
                    Self::AmphoraRestarts => server.agent.start(now),
                    Self::Unreachable(is) => server.agent.unreachable = is,
                    Self::Mute(is) => server.agent.mute = is,
                    Self::MembersDown(are) => server.agent.members_down = are,
                    Self::OldListings | Self::Full(_) | Self::AddressLost | Self::ServerVanishes => {}
                }
                world.journal.name("amp", id.into_untyped_uuid())
            }
            _ => return,
        };
        drop(state);
        world.journal.note(format!("* {self:?} {whom}").trim_end());
    }
}
