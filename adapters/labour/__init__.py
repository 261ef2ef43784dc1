"""MTFP's adapter: employers, visas of contracts, notices, attestations, job seekers (``BJ/GOV/MTFP/TRAVAIL``)."""
