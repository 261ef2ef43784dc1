// Consulter le registre des personnes en Java 17, sans rien installer : HTTP/2 et JSON, à travers sa propre passerelle.
//   java examples/java/Appeler.java localhost:42011 var/up/programs/BJ.GOV.PNS.PORTAIL.portail
// (le répertoire que « passerelle program add » a écrit). Avec grpc-java : docs/appeler.md.
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.security.*;
import javax.net.ssl.*;

public class Appeler {
    static HttpClient client;
    static String passerelle;
    public static void main(String[] arguments) throws Exception {
        passerelle = "https://" + arguments[0] + "/bj.identity.v1.";
        client = HttpClient.newBuilder().sslContext(identite(Path.of(arguments[1]))).build();
        System.out.println("fiche " + consulter("0000000001", 10000).body());
        System.out.println("refus " + consulter("0000000003", 10000).body()); // « code », « message », « details »
        var reponse = consulter("0000000001", 0); // 0 ms : trop court exprès
        while (reponse.body().contains("\"not_sent\"")) reponse = consulter("0000000001", 10000); // rien n'était parti
        // Les flux parlent gRPC : un octet 0, la longueur sur quatre octets, le message ; vide, il demande tout.
        var suivre = demande("P02", "PersonEventService/WatchPersonChanges", "application/grpc", new byte[5]).build();
        try (var flux = client.send(suivre, HttpResponse.BodyHandlers.ofInputStream()).body()) {
            int taille = java.nio.ByteBuffer.wrap(flux.readNBytes(5), 1, 4).getInt();
            System.out.println("changement de " + flux.readNBytes(taille).length + " octets"); // fermer annule l'appel
        }
    }
    static HttpResponse<String> consulter(String npi, int delaiMs) throws Exception {
        var json = ("{\"npi\": \"" + npi + "\"}").getBytes();
        var demande = demande("P01", "IdentityService/GetPerson", "application/json", json);
        demande.header("connect-timeout-ms", "" + delaiMs); // toujours un délai : il suit l'appel jusqu'au registre
        var reponse = client.send(demande.build(), HttpResponse.BodyHandlers.ofString());
        var echange = reponse.headers().firstValue("x-road-exchange-id").orElse("–");
        System.out.println("HTTP " + reponse.statusCode() + " échange " + echange); // ce numéro retrouve la preuve
        return reponse;
    }
    static HttpRequest.Builder demande(String finalite, String methode, String genre, byte[] corps) {
        return HttpRequest.newBuilder(URI.create(passerelle + methode)).headers("content-type", genre, "te", "trailers")
            .headers("x-road-client", "BJ/GOV/PNS/PORTAIL", "x-road-purpose", finalite, "x-road-issue", "ACT-202611-0001")
            .POST(HttpRequest.BodyPublishers.ofByteArray(corps)); // jamais de numéro personnel dans un en-tête
    }
    static SSLContext identite(Path dossier) throws Exception { // le certificat dit qui appelle ; ca.pem, à qui se fier
        var lecteur = java.security.cert.CertificateFactory.getInstance("X.509");
        var pem = Files.readString(dossier.resolve("identity.key")).replaceAll("-----.*?-----|\\s", "");
        var pkcs8 = new java.security.spec.PKCS8EncodedKeySpec(java.util.Base64.getDecoder().decode(pem));
        var chaine = lecteur.generateCertificates(Files.newInputStream(dossier.resolve("identity.crt")));
        var coffre = KeyStore.getInstance(KeyStore.getDefaultType());
        coffre.load(null, null);
        var certificats = chaine.toArray(java.security.cert.Certificate[]::new);
        coffre.setKeyEntry("cle", KeyFactory.getInstance("EC").generatePrivate(pkcs8), new char[0], certificats);
        coffre.setCertificateEntry("ca", lecteur.generateCertificate(Files.newInputStream(dossier.resolve("ca.pem"))));
        var cles = KeyManagerFactory.getInstance("PKIX");
        cles.init(coffre, new char[0]);
        var confiance = TrustManagerFactory.getInstance("PKIX");
        confiance.init(coffre);
        var tls = SSLContext.getInstance("TLS");
        tls.init(cles.getKeyManagers(), confiance.getTrustManagers(), null);
        return tls;
    }
}
