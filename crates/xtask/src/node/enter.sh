# The first process of a node's enclosure: hides what the node may not share with this machine, then waits.
# Arguments: the node's folder, the folder that keeps containerd's images, the folder of the pods' logs.
set -eu
node=$1
images=$2
pods=$3
# -n: the table of mounts that mount(8) keeps lies in /run, which is about to go.
mount -n --make-rprivate /
mkdir -p "$node/run"
mount -n -t tmpfs -o mode=755 tmpfs "$node/run"
show() {
  mkdir -p "$1" "$node/run/$2"
  mount -n --bind "$1" "$node/run/$2"
}
show "$node/kubelet" kubelet
show "$node/volumes" volumes
show "$images" images
show "$pods" pods
mount -n --move "$node/run" /run
# Places that kubelet and the network plugins do not let us choose.
for place in /var/lib/kubelet /var/lib/cni /var/log/containers; do
  mkdir -p "$place"
  mount -n -t tmpfs tmpfs "$place"
done
mount -n --make-rshared /
ip link set lo up
touch /run/ready
# The end of this process is the end of everything in the enclosure. Until then it buries orphans.
trap 'exit 0' TERM
sleep infinity &
while :; do wait || true; done
