//! Trouble that pods and units have from the outage on, in the words that real ones leave of it.

use ananke_core::name::ObjectRef;
use ananke_core::observation::PodPhase;

use super::{Ms, Pod, World};

/// What ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cure {
    /// A pod that is made anew does not have it.
    Remade,
    /// A new pod of another workload, by its `namespace/name`.
    By(&'static str),
    /// It passes after so many milliseconds.
    Passes(Ms),
    /// Only a person.
    Person,
}

/// Where the words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// In the pod's own status, beside the reason why its container waits.
    Status,
    /// In an Event of this reason.
    Event(&'static str),
    /// In the status of a pod that the kubelet has ended.
    Succeeded,
    Failed,
}

impl Told {
    /// Of a pod that has ended.
    pub(super) fn phase(self) -> Option<PodPhase> {
        match self {
            Self::Status | Self::Event(_) => None,
            Self::Succeeded => Some(PodPhase::Succeeded),
            Self::Failed => Some(PodPhase::Failed),
        }
    }
}

/// One kind of it, as its fault is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub id: &'static str,
    pub doc: &'static str,
    /// `namespace/name` of the workload that has it.
    pub workload: &'static str,
    /// What the pod's container waits for.
    pub reason: &'static str,
    pub told: Told,
    pub words: &'static str,
    pub cure: Cure,
}

macro_rules! troubles {
    ($($variant:ident = $id:literal, $doc:literal, $workload:literal, $reason:literal, $told:expr, $cure:expr, $words:literal;)*) => {
        /// What pods can have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum PodTrouble { $($variant,)* }

        impl PodTrouble {
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$variant => Kind {
                        id: $id, doc: $doc, workload: $workload, reason: $reason, told: $told, words: $words, cure: $cure,
                    },)*
                }
            }
        }
    };
}

use Cure::{By, Passes, Person, Remade};
use Told::{Event, Status};

const MINUTE: Ms = 60_000;
const LOST_REPLICAS: &str = "postgres-operator-no-recovery";
const PRIMARY: &str = "master";
pub(super) const STALE_LEADER: &str = "stale-leader-lease";
pub(super) const WEBHOOK_LOOP: &str = "longhorn-webhook-loop";

troubles! {
    WedgedDns = "coredns-down", "the pods of cluster DNS hang until they are made anew", "kube-system/coredns",
        "CrashLoopBackOff", Status, Remade, "back-off 5m0s restarting failed container=coredns pod=coredns_kube-system(7c1e)";
    StaleMount = "nfs-stale-or-hung", "a pod holds a mount of a file server that has restarted since", "media/sonarr",
        "CreateContainerError", Status, Remade,
        "failed to generate container spec: failed to stat \"/var/lib/kubelet/pods/7c/volumes/kubernetes.io~nfs/tv\": stale NFS file handle";
    LateNas = "nas-up-after-cluster", "the file server behind media/sonarr is up eight minutes after the cluster", "media/sonarr",
        "ContainerCreating", Event("FailedMount"), Passes(8 * MINUTE),
        "MountVolume.SetUp failed for volume \"tv\" : mount failed: exit status 32\nOutput: mount.nfs: Connection refused for nas.titan.example:/tv on /var/lib/kubelet/pods/7c/volumes/kubernetes.io~nfs/tv";
    LostContainer = "pod-unknown-container-status", "the kubelet has lost the container of home/zigbee2mqtt", "home/zigbee2mqtt",
        "ContainerStatusUnknown", Status, Remade,
        "ContainerStatusUnknown: The container could not be located when the pod was deleted. The container used to be Running";
    BackOff = "crashloop-backoff-lag", "media/jellyfin waits out a back-off that grew while nothing it needs was there", "media/jellyfin",
        "CrashLoopBackOff", Status, Remade, "back-off 5m0s restarting failed container=jellyfin pod=jellyfin_media(7c1e)";
    RateLimited = "registry-rate-limited", "the registry of media/radarr takes no more pulls for ten minutes", "media/radarr",
        "ImagePullBackOff", Status, Passes(10 * MINUTE),
        "Back-off pulling image \"docker.io/media/radarr:1\": ErrImagePull: toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit";
    TornImage = "image-layer-corrupt", "the image of media/jellyfin is torn on its node", "media/jellyfin",
        "CrashLoopBackOff", Status, Person, "StartError: failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/entrypoint\": exec format error";
    TornVolume = "pvc-filesystem-damaged", "the file system of the volume of media/jellyfin was torn by the cut", "media/jellyfin",
        "ContainerCreating", Event("FailedMount"), Person,
        "MountVolume.MountDevice failed for volume \"pvc-7c1e\" : rpc error: code = Internal desc = 'fsck' found errors on device /dev/longhorn/pvc-7c1e but could not correct them: fsck from util-linux 2.40.2\n/dev/longhorn/pvc-7c1e: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.";
    Multipath = "longhorn-multipathd-grabs-device", "multipathd has taken the device of the volume of media/jellyfin", "media/jellyfin",
        "ContainerCreating", Event("FailedMount"), Person,
        "MountVolume.MountDevice failed for volume \"pvc-7c1e\" : rpc error: code = Internal desc = mount failed: exit status 32\nOutput: mount: /var/lib/kubelet/plugins/kubernetes.io/csi/driver.longhorn.io/7c/globalmount: /dev/longhorn/pvc-7c1e already mounted or mount point busy.";
    LeakedAddresses = "cni-ip-pool-leaked", "the addresses of pods that are gone were never given back", "media/jellyfin",
        "ContainerCreating", Event("FailedCreatePodSandBox"), Person,
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"1e7c\": plugin type=\"flannel\" failed (add): failed to delegate add: failed to allocate for range 0: no IP addresses available in range set: 10.42.4.1-10.42.4.254";
    LostSandboxes = "containerd-metadata-corrupt", "containerd remembers a sandbox that is not there", "media/jellyfin",
        "ContainerCreating", Event("FailedCreatePodSandBox"), Person,
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to reserve sandbox name \"jellyfin_media_7c1e_3\": name \"jellyfin_media_7c1e_3\" is reserved for \"9d2f\"";
    WebhookLoop = "longhorn-webhook-loop", "", "longhorn-system/longhorn-manager", "CrashLoopBackOff", Status, Remade,
        "Error: time=\"2026-03-14T02:09:11Z\" level=fatal msg=\"Error starting webhooks: admission webhook service is not accessible on cluster after 1m0s sec: timed out waiting for endpoint https://longhorn-admission-webhook.longhorn-system.svc:9502/v1/healthz to be available\"";
    NodeResolver = "node-dns-served-by-cluster", "the node of media/jellyfin asks a resolver of this cluster, which waits for the same registry", "media/jellyfin",
        "ImagePullBackOff", Status, Person,
        "Back-off pulling image \"docker.io/media/jellyfin:1\": ErrImagePull: failed to pull and unpack image \"docker.io/media/jellyfin:1\": failed to resolve reference \"docker.io/media/jellyfin:1\": failed to do request: Head \"https://registry-1.docker.io/v2/media/jellyfin/manifests/1\": dial tcp: lookup registry-1.docker.io on 192.168.22.53:53: read udp 192.168.22.14:52911->192.168.22.53:53: i/o timeout";
    LateWan = "wan-or-switch-up-late", "the modem finds its line nine minutes after the mains, and media/radarr lacks its image", "media/radarr",
        "ImagePullBackOff", Status, Passes(9 * MINUTE),
        "Back-off pulling image \"docker.io/media/radarr:1\": ErrImagePull: failed to pull and unpack image \"docker.io/media/radarr:1\": failed to resolve reference \"docker.io/media/radarr:1\": failed to do request: Head \"https://registry-1.docker.io/v2/media/radarr/manifests/1\": dial tcp 34.205.13.154:443: connect: network is unreachable";
    MissingProject = "registry-rewrite-to-missing-proxy", "images are rewritten to a project that Harbor came back without", "media/jellyfin",
        "ImagePullBackOff", Status, Person,
        "Back-off pulling image \"harbor.titan.example/hub/jellyfin:1\": ErrImagePull: failed to pull and unpack image: failed to authorize: failed to fetch anonymous token: unexpected status from GET request: 401 Unauthorized: unauthorized: authentication required";
    ShutdownLeftover = "pod-shutdown-leftovers", "the kubelet ended the pod of media/prowlarr for the shutdown of its node, and its StatefulSet takes that for a pod", "media/prowlarr",
        "Terminated", Told::Succeeded, Remade, "Pod was terminated in response to imminent node shutdown.";
    TurnedAway = "pod-unexpected-admission-error", "kubelets turn the pods of dashboards/uptime-kuma away for eight minutes, since a device is not there yet", "dashboards/uptime-kuma",
        "UnexpectedAdmissionError", Told::Failed, Passes(8 * MINUTE),
        "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices squat.ai/serial, which is unexpected";
    StaleShare = "longhorn-rwx-share-manager-stale", "the pod of office/paperless looks for the share of its volume where it was before", "office/paperless",
        "ContainerCreating", Event("FailedMount"), Remade,
        "MountVolume.MountDevice failed for volume \"pvc-7c1e\" : rpc error: code = Aborted desc = volume pvc-7c1e share not yet available";
    MissingSecret = "external-secrets-backoff", "External Secrets waits out a back-off, and office/miniflux waits for its Secret", "office/miniflux",
        "CreateContainerConfigError", Status, By("external-secrets/external-secrets"), "secret \"miniflux\" not found";
    LostReplicas = "postgres-operator-no-recovery", "the replicas of databases/postgres do not follow their primary until they are made anew", "databases/postgres",
        "ContainersNotReady", Event("Unhealthy"), Remade, "Readiness probe failed: HTTP probe failed with statuscode: 503";
    StaleLeader = "stale-leader-lease", "nobody attaches the volume of media/navidrome: a pod of the attacher that is no more leads, and the others hang", "media/navidrome",
        "ContainerCreating", Event("FailedAttachVolume"), By("longhorn-system/csi-attacher"),
        "AttachVolume.Attach failed for volume \"pvc-7c1e\" : timed out waiting for external-attacher of driver.longhorn.io CSI driver to attach volume pvc-7c1e";
    NoPrimary = "galera-no-safe-bootstrap", "no member of the Galera cluster knows that it was the last", "media/jellyfin",
        "CrashLoopBackOff", Status, Person,
        "Error: [ERROR] WSREP: It may not be safe to bootstrap the cluster from this node. It was not the last one to leave the cluster and may not contain all the updates. To force cluster bootstrap with this node, edit the grastate.dat file manually and set safe_to_bootstrap to 1 .";
}

/// Why a unit ends whenever it is started, in the last words of its log. Only a person at the machine helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitTrouble {
    Address,
    Swap,
    Kernel,
    Etcd,
    Certificates,
    Password,
    Database,
}

impl UnitTrouble {
    /// Id, what it is, and the words.
    pub const fn entry(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Address => (
                "node-ip-changed",
                "the server has another address than etcd knows",
                "level=fatal msg=\"Failed to test etcd connection: this server is a not a member of the etcd cluster. Found [titan-01-4af1d1b7=https://192.168.22.10:2380], expect: titan-01-4af1d1b7=https://192.168.22.87:2380\"",
            ),
            Self::Swap => (
                "swap-re-enabled",
                "swap is on again, and the kubelet does not run with it",
                "level=error msg=\"kubelet exited: failed to run Kubelet: running with swap on is not supported, please disable swap or set --fail-swap-on flag to false\"",
            ),
            Self::Kernel => (
                "kernel-changed-at-boot",
                "the host booted a kernel without br_netfilter",
                "modprobe: FATAL: Module br_netfilter not found in directory /lib/modules/6.12.57+deb13-amd64",
            ),
            Self::Etcd => (
                "etcd-member-corrupt",
                "the cut tore the log of the server's member of etcd",
                "{\"level\":\"fatal\",\"logger\":\"raft\",\"msg\":\"tocommit(1284993) is out of range [lastIndex(1284871)]. Was the raft log corrupted, truncated, or lost?\"}",
            ),
            Self::Certificates => (
                "control-plane-certs-expired",
                "the certificates of the host ran out while it was down",
                "level=fatal msg=\"failed to validate token: tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-03-14T02:07:40Z is after 2026-03-02T11:20:03Z\"",
            ),
            Self::Database => (
                "kine-sqlite-malformed",
                "the cut tore the SQLite database of the server",
                "level=fatal msg=\"starting kubernetes: preparing server: creating storage endpoint: building kine: database disk image is malformed\"",
            ),
            Self::Password => (
                "k3s-node-password-rejected",
                "the servers know another password for the node than it has",
                "level=error msg=\"Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag\"",
            ),
        }
    }
}

/// A Warning that a kubelet keeps repeating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A pod, or a CronJob.
    pub about: ObjectRef,
    pub reason: &'static str,
    pub message: &'static str,
}

impl World {
    pub(super) fn trouble(&mut self, trouble: PodTrouble) -> Result<(), String> {
        let kind = trouble.kind();
        let named = |object: &ObjectRef| kind.workload.split_once('/') == Some((object.namespace.as_ref(), object.name.as_ref()));
        let row = (0..self.workloads.len()).find(|row| named(&self.workloads[*row].object));
        let row = row.ok_or_else(|| format!("there is no {} in this world", kind.workload))?;
        if let Cure::By(other) = kind.cure {
            let (namespace, name) = other.split_once('/').unwrap_or_default();
            let by = self.row_of(namespace, name)?;
            self.troubles.cures.push(super::old_clients::Cure { by, of: row, since: self.now });
        }
        self.give_trouble(row, kind);
        Ok(())
    }

    pub(super) fn give_trouble(&mut self, row: usize, kind: Kind) {
        self.workloads[row].trouble = Some((kind, self.now));
        if let Cure::Passes(after) = kind.cure {
            self.after(after, super::Event::TroublePasses(row));
        }
        for pod in self.workloads[row].pods.clone() {
            if self.is_only_copy(pod) {
                continue;
            }
            if let Some(phase) = kind.told.phase() {
                self.end_for_good(pod, kind, phase);
                continue;
            }
            self.change_pod(pod, |pod| pod.serving = false);
            self.publish(pod);
        }
    }

    pub(super) fn trouble_passes(&mut self, workload: usize) {
        self.workloads[workload].trouble = None;
        self.rebuild_volumes(workload, false);
        self.wake(self.workloads[workload].pods.clone());
    }

    /// What the operator of the database calls it.
    pub fn database_role(&self, pod: &Pod) -> Option<&'static str> {
        let of = &self.workloads[pod.workload].object;
        let database =
            of.kind == ananke_core::name::Kind::StatefulSet && (&*of.namespace, &*of.name) == ("databases", "postgres");
        database.then_some(if pod.ordinal == 0 { PRIMARY } else { "replica" })
    }

    /// Without a replica that follows it, the primary is all there is.
    pub(super) fn is_only_copy(&self, pod: usize) -> bool {
        let row = &self.pods[pod];
        let lost = self.workloads[row.workload].trouble.is_some_and(|(kind, _)| kind.id == LOST_REPLICAS);
        lost && self.database_role(row) == Some(PRIMARY)
    }

    /// What this pod has. One that was made after the trouble came is spared, where that is the cure.
    pub fn trouble_of(&self, pod: &Pod) -> Option<Kind> {
        let (kind, since) = self.workloads[pod.workload].trouble?;
        if kind.id == LOST_REPLICAS && self.database_role(pod) == Some(PRIMARY) {
            return None;
        }
        (kind.cure != Cure::Remade || pod.created <= since).then_some(kind)
    }

    /// What kubelets that are alive say of their pods now.
    pub fn warnings(&self) -> Vec<Warning> {
        let warning = |pod: &Pod| {
            let kind = self.trouble_of(pod).filter(|_| !pod.serving)?;
            let Told::Event(reason) = kind.told else { return None };
            self.nodes[pod.node?].alive_since?;
            Some(Warning { about: pod.object.clone(), reason, message: kind.words })
        };
        self.pods().filter_map(warning).chain(self.instance_warnings()).chain(self.missed_starts()).collect()
    }
}
