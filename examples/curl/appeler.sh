#!/bin/sh
# Consulter le registre des personnes avec curl (7.84 ou plus, avec HTTP/2), à travers sa propre passerelle.
#   sh examples/curl/appeler.sh localhost:42011 var/up/programs/BJ.GOV.PNS.PORTAIL.portail
# Le deuxième argument est le répertoire écrit par « passerelle program add ».
set -eu
passerelle=https://$1 identite=$2

# Le certificat dit qui appelle ; ca.pem dit à quelle passerelle se fier.
certifie() {
    curl --silent --show-error --http2 --cacert "$identite/ca.pem" --cert "$identite/identity.crt" \
        --key "$identite/identity.key" --header 'x-road-client: BJ/GOV/PNS/PORTAIL' --header 'x-road-purpose: P01' \
        --header 'x-road-issue: ACT-202611-0001' "$@"
}

# appeler MÉTHODE DÉLAI : la demande, en JSON, vient de l'entrée standard. Jamais dans la ligne de commande, que chacun
# peut lire sur la machine, ni dans l'adresse.
appeler() {
    certifie --header 'content-type: application/json' --header "connect-timeout-ms: $2" --data @- \
        --write-out '\nHTTP %{http_code} échange %header{x-road-exchange-id}\n' "$passerelle/$1"
}

GET_PERSON=bj.identity.v1.IdentityService/GetPerson

echo '# Une fiche'
echo '{"npi": "0000000001"}' | appeler $GET_PERSON 10000

echo '# Un refus : « code » pour décider, « message » pour lire, « details » avec le motif (ErrorInfo)'
echo '{"npi": "0000000003"}' | appeler $GET_PERSON 10000

echo '# Renvoyer : sans risque quand rien n’est parti (not_sent), ou quand la méthode ne fait que lire'
for delai in 0 10000; do # 0 ms : trop court exprès, la première tentative échoue
    reponse=$(echo '{"npi": "0000000001"}' | appeler $GET_PERSON $delai)
    echo "$reponse"
    case $reponse in
    *'"not_sent"'*) sleep 1 ;;
    *) break ;;
    esac
done

# Les flux parlent gRPC : un octet 0, la longueur du message sur quatre octets, le message. Ici un message vide demande l'état
# du fournisseur, qui dit chaque changement pendant le délai, cinq secondes. En JSON : la liste qui est à côté (List…Changes).
echo '# Un flux : la première réponse de grpc.health.v1.Health/Watch, octet par octet (08 01 : en service)'
printf '\0\0\0\0\0' | certifie --header 'content-type: application/grpc' --header 'te: trailers' --header 'grpc-timeout: 5S' \
    --data-binary @- "$passerelle/grpc.health.v1.Health/Watch" | od -An -tx1
