// Consulter le registre des personnes avec @grpc/grpc-js, à travers sa propre passerelle.
//   npm install @grpc/grpc-js @grpc/proto-loader
//   passerelle service protos BJ/GOV/ANIP/RNPP --out protos --identity IDENTITE
//   node examples/node/appeler.js localhost:42011 IDENTITE protos
// IDENTITE est le répertoire écrit par « passerelle program add » : var/up/programs/BJ.GOV.PNS.PORTAIL.portail.
'use strict';

const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , adresse, identite, protos] = process.argv;
const fichiers = ['bj/identity/v1/identity.proto', 'bj/identity/v1/events.proto'];
const paquets = grpc.loadPackageDefinition(loader.loadSync(fichiers, { includeDirs: [protos], enums: String }));

// Le certificat dit qui appelle ; ca.pem dit à quelle passerelle se fier.
const lire = (nom) => fs.readFileSync(`${identite}/${nom}`);
const identifiants = grpc.credentials.createSsl(lire('ca.pem'), lire('identity.key'), lire('identity.crt'));
const registre = new paquets.bj.identity.v1.IdentityService(adresse, identifiants);
const evenements = new paquets.bj.identity.v1.PersonEventService(adresse, identifiants);

// Pour qui, pour quelle finalité, pour quel dossier ; jamais de numéro personnel ici.
const dit = new grpc.Metadata();
dit.set('x-road-client', 'BJ/GOV/PNS/PORTAIL');
dit.set('x-road-purpose', 'P01');
dit.set('x-road-issue', 'ACT-202611-0001');
const suivi = dit.clone();
suivi.set('x-road-purpose', 'P02'); // obligation d'enregistrement

// Toujours un délai : il suit l'appel jusqu'au registre. Le numéro d'échange vient à la fin, avec le statut.
function consulter(npi, delaiMs = 10000) {
  return new Promise((rendre, refuser) => {
    const options = { deadline: Date.now() + delaiMs };
    const appel = registre.getPerson({ npi }, dit, options, (erreur, fiche) => (erreur ? refuser(erreur) : rendre(fiche)));
    appel.on('status', (fin) => console.log('échange', fin.metadata.get('x-road-exchange-id')[0] || '–'));
  });
}

// GetPerson ne fait que lire : renvoyer est sans risque. Une écriture se renvoie avec sa clé d'idempotence.
async function consulterEncore(npi, delais) {
  return consulter(npi, delais[0]).catch((erreur) => {
    const passager = [grpc.status.DEADLINE_EXCEEDED, grpc.status.UNAVAILABLE].includes(erreur.code);
    if (!passager || delais.length === 1) throw erreur;
    console.log('tentative', grpc.status[erreur.code]);
    return consulterEncore(npi, delais.slice(1));
  });
}

async function principal() {
  console.log('fiche', (await consulter('0000000001')).lastName);
  await consulter('0000000003').catch((refus) => console.log('refus', grpc.status[refus.code], refus.details));
  console.log('fiche', (await consulterEncore('0000000001', [0, 10000])).lastName); // 0 ms : trop court exprès
  // Un flux qui doit durer : un long délai. On le reprend avec { sinceCursor }, celui du dernier changement traité.
  const flux = evenements.watchPersonChanges({}, suivi, { deadline: Date.now() + 3600000 });
  flux.on('error', (fin) => console.log('fin', grpc.status[fin.code])); // CANCELLED : c'est nous
  flux.on('data', ({ event }) => event && (console.log('changement', event.type), flux.cancel())); // ou un battement
}

principal();
