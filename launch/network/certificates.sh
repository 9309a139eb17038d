#!/usr/bin/env bash
# Certificates for the machines of a network (docs/deployment.md): an authority of its own, one certificate for the router and one per machine.
# usage: launch/network/certificates.sh FOLDER ROUTER [MACHINE...]
#   ROUTER   the names and addresses that the machines reach the router by, with commas between them
#   MACHINE  common names; robot gpu console when none is given
# Keep ca.key off the network. Each machine gets ca.pem and its own .pem and .key.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,7s/^# //p' "$0" >&2; exit 2; fi
folder=$1 router=$2
shift 2
[ $# -gt 0 ] || set -- robot gpu console
days=${CERTIFICATE_DAYS:-365}
if [ -e "$folder/ca.key" ]; then echo "$folder/ca.key exists: nothing was made" >&2; exit 1; fi
mkdir -p "$folder"
cd "$folder"
umask 077

quiet() { openssl "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; }

quiet req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" -subj "/CN=Proctor network" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem

# certificate NAME USAGE [SUBJECT_ALTERNATIVE_NAMES]
certificate() {
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "extendedKeyUsage=$2" \
    "${3:+subjectAltName=$3}" >extensions
  quiet req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$1.key" -out request
  quiet x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" -extfile extensions -out "$1.pem"
}

names=
for name in ${router//,/ }; do
  case $name in *[!0-9.]*) names+=,DNS:$name ;; *) names+=,IP:$name ;; esac
done
certificate router serverAuth "${names#,}"
for machine in "$@"; do certificate "$machine" clientAuth "DNS:$machine"; done
rm -f extensions request openssl.log ca.srl
ls
