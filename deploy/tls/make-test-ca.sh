#!/bin/sh
# Make a CA and certificates to try TLS with: for a test or a demonstration, not for a hospital's network.
#
#   deploy/tls/make-test-ca.sh DIRECTORY [ROUTER_NAME...]
#
# ROUTER_NAME: host names or addresses that senders know the router by; default: localhost 127.0.0.1.
# Writes, each with its .key: ca.crt; router.crt (for [listener.tls] and [destinations.X.tls]);
# ct1.crt, a sender's (common name ct1.example); pacs.crt, an archive's (names: localhost 127.0.0.1).
# Files that are there are kept: run it again for what is missing. All are good for 365 days (DAYS=n to change).
set -eu

directory=${1:?usage: make-test-ca.sh DIRECTORY [ROUTER_NAME...]}
shift
[ $# -gt 0 ] || set -- localhost 127.0.0.1
days=${DAYS:-365}
mkdir -p "$directory"
cd "$directory"
umask 077

new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

# alternative_names NAME...: as subjectAltName wants them, an address apart from a host name
alternative_names() {
    list=
    for name in "$@"; do
        case $name in
            *[!0-9.]*) case $name in *:*) kind=IP ;; *) kind=DNS ;; esac ;;
            *) kind=IP ;;
        esac
        list=$list${list:+,}$kind:$name
    done
    echo "$list"
}

# issue FILE COMMON_NAME USAGE NAME...
issue() {
    file=$1 common_name=$2 usage=$3
    shift 3
    [ ! -e "$file.crt" ] || return 0
    new_key "$file"
    openssl req -new -key "$file.key" -subj "/O=dicom-router test/CN=$common_name" -out "$file.csr"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=$usage"
        echo "subjectAltName=$(alternative_names "$@")"
    } >"$file.ext"
    openssl x509 -req -in "$file.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -sha256 \
        -extfile "$file.ext" -out "$file.crt" 2>/dev/null
    rm "$file.csr" "$file.ext"
    echo "$directory/$file.crt  SHA-256 $(openssl x509 -in "$file.crt" -noout -fingerprint -sha256 | cut -d= -f2)"
}

if [ ! -e ca.crt ]; then
    new_key ca
    openssl req -x509 -new -key ca.key -sha256 -days "$days" -subj "/O=dicom-router test/CN=test CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt
fi
issue router "$1" serverAuth,clientAuth "$@"
issue ct1 ct1.example clientAuth ct1.example
issue pacs localhost serverAuth,clientAuth localhost 127.0.0.1
chmod 644 ./*.crt
