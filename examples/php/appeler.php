<?php
// Consulter le registre des personnes en PHP 8.1 ou plus, avec l'extension curl : HTTP/2 et JSON, à travers sa propre passerelle.
//   php examples/php/appeler.php localhost:42011 var/up/programs/BJ.GOV.PNS.PORTAIL.portail
// Le deuxième argument est le répertoire écrit par « passerelle program add ».
declare(strict_types=1);

[, $passerelle, $identite] = $argv;
$canal = curl_init(); // gardé d'un appel à l'autre : ouvrir une connexion coûte bien plus qu'un appel
curl_setopt_array($canal, [
    CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_2TLS,
    CURLOPT_CAINFO => "$identite/ca.pem", // à qui se fier
    CURLOPT_SSLCERT => "$identite/identity.crt", // qui appelle
    CURLOPT_SSLKEY => "$identite/identity.key",
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_HEADERFUNCTION => function ($_, string $ligne): int {
        if (stripos($ligne, 'x-road-exchange-id:') === 0) {
            echo 'échange ', trim(substr($ligne, 19)), "\n"; // ce numéro retrouve la preuve
        }
        return strlen($ligne);
    },
]);

/** Appelle une méthode ; rend le statut HTTP et la réponse, ou l'erreur : code, message, details. */
function appeler(string $finalite, string $methode, array $demande, int $delaiMs = 10000): array
{
    global $canal, $passerelle;
    curl_setopt_array($canal, [
        CURLOPT_URL => "https://$passerelle/$methode",
        CURLOPT_POSTFIELDS => json_encode((object) $demande),
        CURLOPT_HTTPHEADER => [ // jamais de numéro personnel ici
            'content-type: application/json', "connect-timeout-ms: $delaiMs",
            'x-road-client: BJ/GOV/PNS/PORTAIL', "x-road-purpose: $finalite", 'x-road-issue: ACT-202611-0001',
        ],
    ]);
    $corps = curl_exec($canal);
    if ($corps === false) {
        throw new RuntimeException(curl_error($canal)); // la passerelle ne répond pas
    }
    return [curl_getinfo($canal, CURLINFO_RESPONSE_CODE), json_decode($corps, true)];
}

const GET_PERSON = 'bj.identity.v1.IdentityService/GetPerson';
[, $fiche] = appeler('P01', GET_PERSON, ['npi' => '0000000001']);
echo "fiche {$fiche['lastName']}\n";
[$statut, $refus] = appeler('P01', GET_PERSON, ['npi' => '0000000003']);
echo "refus HTTP $statut {$refus['code']} : {$refus['message']}\n";
foreach ([0, 10000] as $delai) { // 0 ms : trop court exprès, la première tentative échoue
    [$statut, $reponse] = appeler('P01', GET_PERSON, ['npi' => '0000000001'], $delai);
    echo "tentative HTTP $statut\n";
    if (($reponse['details'][0]['debug']['metadata']['delivery'] ?? '') !== 'not_sent') {
        break; // not_sent : rien n'est parti, renvoyer est sans risque
    }
}
// PHP ne tient pas de flux ouvert : la liste à côté de WatchPersonChanges dit les mêmes changements, page par page.
[, $page] = appeler('P02', 'bj.identity.v1.PersonEventService/ListPersonChanges', ['page' => ['size' => 2]]);
foreach ($page['events'] ?? [] as $changement) {
    echo "changement {$changement['type']} le {$changement['header']['occurredAt']}\n";
}
echo "la suite, plus tard, avec page.sinceCursor {$page['nextCursor']}\n"; // à garder une fois la page traitée
