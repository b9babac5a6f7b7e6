//! The answer to a POST whose object an earlier request with the same key has made: the object as it is now, to who may
//! still make one.

use std::str::FromStr;

use super::{availability_zone, availability_zone_profile, flavor, flavor_profile, health_monitor, l7policy};
use super::{l7rule, listener, load_balancer, member, pool};
use crate::call::{Answer, Call};
use crate::endpoint::Operation as Op;
use crate::fault::Fault;

/// `made` is the id that the object was given.
pub(crate) async fn replay(call: &Call, made: &str) -> Result<Answer, Fault> {
    match call.endpoint.operation {
        Op::LoadBalancerCreate => load_balancer::replay(call, id(made)?).await,
        Op::ListenerCreate => listener::replay(call, id(made)?).await,
        Op::PoolCreate => pool::replay(call, id(made)?).await,
        Op::MemberCreate => member::replay(call, id(made)?).await,
        Op::HealthMonitorCreate => health_monitor::replay(call, id(made)?).await,
        Op::L7PolicyCreate => l7policy::replay(call, id(made)?).await,
        Op::L7RuleCreate => l7rule::replay(call, id(made)?).await,
        Op::FlavorCreate => flavor::replay(call, id(made)?).await,
        Op::FlavorProfileCreate => flavor_profile::replay(call, id(made)?).await,
        Op::AvailabilityZoneCreate => availability_zone::replay(call).await,
        Op::AvailabilityZoneProfileCreate => availability_zone_profile::replay(call, id(made)?).await,
        other => {
            tracing::error!(?other, "no answer can be given again");
            Err(Fault::Internal)
        }
    }
}

fn id<T: FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| {
        tracing::error!(text, "a receipt holds no id");
        Fault::Internal
    })
}
