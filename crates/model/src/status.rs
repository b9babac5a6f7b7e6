//! Provisioning and operating status (`reference/api.md` §5.1).

use crate::text_enum::text_enum;

text_enum! {
    /// Where an object is on its way from the user's wish to the data plane.
    ProvisioningStatus {
        Active = "ACTIVE",
        PendingCreate = "PENDING_CREATE",
        PendingUpdate = "PENDING_UPDATE",
        PendingDelete = "PENDING_DELETE",
        Deleted = "DELETED",
        Error = "ERROR",
    }
}

impl ProvisioningStatus {
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PendingCreate | Self::PendingUpdate | Self::PendingDelete)
    }

    /// On the way out or gone: not part of what the data plane is told.
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::PendingDelete | Self::Deleted)
    }
}

text_enum! {
    /// What the data plane says of an object.
    OperatingStatus {
        Online = "ONLINE",
        Offline = "OFFLINE",
        Degraded = "DEGRADED",
        Error = "ERROR",
        Draining = "DRAINING",
        NoMonitor = "NO_MONITOR",
    }
}

/// The two statuses every resource of a load balancer carries, and why they are not good if they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    pub provisioning: ProvisioningStatus,
    pub operating: OperatingStatus,
    pub reason: Option<crate::Reason>,
}

impl Statuses {
    /// Just created: on the way, and not yet seen by any data plane.
    pub const fn created(operating: OperatingStatus) -> Self {
        Self { provisioning: ProvisioningStatus::PendingCreate, operating, reason: None }
    }
}
