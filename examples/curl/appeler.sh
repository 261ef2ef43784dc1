#!/bin/sh
# Consulter le registre des personnes avec curl (7.84 ou plus, avec HTTP/2), à travers sa propre passerelle.
#   sh examples/curl/appeler.sh localhost:42011 var/up/programs/BJ.GOV.PNS.PORTAIL.portail
# Le deuxième argument est le répertoire écrit par « passerelle program add ».
set -eu
passerelle=https://$1 identite=$2

# certifie FINALITÉ … : le certificat dit qui appelle ; ca.pem dit à quelle passerelle se fier.
certifie() {
    finalite=$1 && shift
    exec curl --silent --show-error --http2 --cacert "$identite/ca.pem" --cert "$identite/identity.crt" \
        --key "$identite/identity.key" --header 'x-road-client: BJ/GOV/PNS/PORTAIL' \
        --header "x-road-purpose: $finalite" --header 'x-road-issue: ACT-202611-0001' "$@"
}

# appeler FINALITÉ MÉTHODE DÉLAI : la demande, en JSON, vient de l'entrée standard. Jamais dans la ligne de commande, que
# chacun peut lire sur la machine, ni dans l'adresse.
appeler() {
    certifie "$1" --header 'content-type: application/json' --header "connect-timeout-ms: $3" --data @- \
        --write-out '\nHTTP %{http_code} échange %header{x-road-exchange-id}\n' "$passerelle/$2"
}

GET_PERSON=bj.identity.v1.IdentityService/GetPerson
EVENTS=bj.identity.v1.PersonEventService

echo '# Une fiche'
echo '{"npi": "0000000001"}' | appeler P01 $GET_PERSON 10000

echo '# Un refus : « code » pour décider, « message » pour lire, « details » avec le motif (ErrorInfo)'
echo '{"npi": "0000000003"}' | appeler P01 $GET_PERSON 10000

echo '# Renvoyer : sans risque quand rien n’est parti (not_sent), ou quand la méthode ne fait que lire'
for delai in 0 10000; do # 0 ms : trop court exprès, la première tentative échoue
    reponse=$(echo '{"npi": "0000000001"}' | appeler P01 $GET_PERSON $delai)
    echo "$reponse"
    case $reponse in
    *'"not_sent"'*) sleep 0.2 ;;
    *) break ;;
    esac
done

echo '# Les changements de fiches, une page : « nextCursor » est le « sinceCursor » de la suivante'
echo '{"page": {"size": 2}}' | appeler P02 $EVENTS/ListPersonChanges 10000

# Les mêmes, à mesure qu'ils viennent. Les flux parlent gRPC : un octet 0, la longueur du message sur quatre octets, le
# message ; vide, il demande tout depuis le début. On en lit ici le début, puis on y met fin : les deux journaux le disent.
echo '# Un flux : les premiers octets de WatchPersonChanges'
tuyau=$(mktemp -u) && mkfifo -m 600 "$tuyau" && trap 'rm "$tuyau"' EXIT
printf '\0\0\0\0\0' | certifie P02 --no-buffer --header 'content-type: application/grpc' --header 'te: trailers' \
    --header 'grpc-timeout: 30S' --data-binary @- "$passerelle/$EVENTS/WatchPersonChanges" >"$tuyau" &
head -c 96 "$tuyau" | od -An -v -tx1
kill $! 2>/dev/null || true # le délai y a peut-être mis fin
